import Testing

@testable import ObjectStorage

@Suite struct XMLParserTests {
    private func parse(_ text: String) throws -> XMLNode { try XMLParser.parse(Array(text.utf8)) }

    @Test func readsNestedElements() throws {
        let node = try parse(
            """
            <?xml version="1.0" encoding="UTF-8"?>
            <!-- a store -->
            <s3:List xmlns="http://x/" a='1>2'><Key>a&amp;b &#x1F426;&#10;<![CDATA[<raw>]]></Key><Empty/><Key>2</Key></s3:List>
            """)
        #expect(node.name == "List")
        #expect(node.all("Key").map(\.text) == ["a&b \u{1F426}\n<raw>", "2"])
        #expect(node.text("Empty") == "")
        #expect(node["Missing"] == nil)
    }

    @Test(arguments: [
        "", "text", "<a>", "<a></b>", "<a b></a>", "<a b=c></a>", "<a>&nope;</a>", "<a>& b</a>", "<a/><b/>", "<a",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a><![CDATA[x</a>", "<a>&#xD800;</a>", "<a b=\"c></a>",
        "<a/>tail",
    ])
    func refusesWhatIsNotXML(_ text: String) {
        #expect(throws: XMLParser.Failure.self) { try parse(text) }
    }

    @Test func boundsTheDepth() {
        let deep = String(repeating: "<a>", count: 10_000)
        #expect(throws: XMLParser.Failure.self) { try parse(deep) }
    }

    @Test func escapesKeysBothWays() throws {
        let key = "a<b>&\"c'\r\n\té"
        #expect(try parse("<k>\(XMLText.escape(key))</k>").text == key)
        #expect(throws: S3Error.self) { try XMLText.escape("a\u{1}b") }
    }
}
