import Testing

@testable import IngestStage

@Suite struct JSONParserTests {
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
}
