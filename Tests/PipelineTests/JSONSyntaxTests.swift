import Pipeline
import Testing

@Suite struct JSONSyntaxTests {
    private func parse(_ text: String) throws -> RecordValue {
        try Array(text.utf8).withUnsafeBufferPointer { try JSONParser.parse($0) }
    }

    @Test(arguments: [
        ("{\"a\":1,\"a\":2}", 7), ("[1,]", 3), ("01", 0), ("1.e3", 2), ("\"\\ud800x\"", 1), ("\"\\udc00\"", 1),
        ("\"\\q\"", 1), ("\"a\u{1}\"", 2), ("{} x", 3), ("nul!", 0), ("{a:1}", 1),
    ])
    func faultsNameTheirByte(_ text: String, _ offset: Int) {
        #expect { try parse(text) } throws: { ($0 as? JSONFault)?.offset == offset }
    }

    @Test func numbersKeepTheirText() throws {
        #expect(
            try parse("[1e400,-0,0.10,123456789012345678901]")
                == .array(
                    ["1e400", "-0", "0.10", "123456789012345678901"].map(RecordValue.number)))
    }

    @Test func escapesAreRead() throws {
        #expect(try parse(#""\ud83d\ude00\n\u00e9""#) == .string("😀\né"))
    }

    @Test func depthIsBounded() {
        #expect(throws: JSONFault.self) { try parse(String(repeating: "[", count: 100_000)) }
    }

    /// From the categories of the JSON test suite (RFC 8259): what every parser must take.
    @Test(arguments: [
        "[]", "{}", " [ ] ", "\"\"", "0", "-0", "-0.0e-10", "1E+2", "[1,2,[3,{\"a\":[]}]]", "\"\\/\\\\\\b\\f\"",
        "\"\\u0000\"", "\"\u{7f}\"", "\"\u{2028}\"", "{\"\":0}", "[null,true,false]", "\"\\uD834\\uDD1E\"",
        "\t\r\n1\n",
    ])
    func wellFormedTextsAreRead(_ text: String) throws {
        _ = try parse(text)
    }

    /// And what none may take.
    @Test(arguments: [
        "", " ", "[", "]", "{", "[1", "[1 2]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{1:2}", "{'a':1}", "nan",
        "Infinity", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "00", "1_000", "tru", "TRUE", "\"", "\"a", "\"\\",
        "\"\\u12\"",
        "\"\\uD834\"", "\"\\uDD1E\\uD834\"", "\"\\x41\"", "\"\n\"", "\"\t\"", "[1]]", "{}{}", "/* */ 1", "// 1\n1",
        "\u{feff}1", "[1,]", "\"\u{0}\"",
    ])
    func illFormedTextsAreRefused(_ text: String) {
        #expect(throws: JSONFault.self) { try parse(text) }
    }

    @Test(
        arguments: [
            [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
            [0x22, 0xFF, 0x22],
            [0x22, 0xE2, 0x82, 0x22], [0x22, 0xF0, 0x80, 0x80, 0x80, 0x22],
        ] as [[UInt8]])
    func illFormedUTF8IsRefused(_ bytes: [UInt8]) {
        #expect { try bytes.withUnsafeBufferPointer { try JSONParser.parse($0) } } throws: {
            ($0 as? JSONFault)?.rule == "encoding"
        }
    }
}
