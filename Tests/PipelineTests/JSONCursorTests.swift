import Pipeline
import Testing

/// The cursor must take what the parser takes, and refuse what it refuses.
@Suite struct JSONCursorTests {
    private static func skip(_ text: [UInt8]) -> Result<Void, JSONFault> {
        text.withUnsafeBytes { bytes in
            var cursor = JSONCursor(bytes)
            return Result { () throws(JSONFault) in
                try cursor.skipValue()
                try cursor.end()
            }
        }
    }

    private static func parse(_ text: [UInt8]) -> Result<Void, JSONFault> {
        text.withUnsafeBufferPointer { bytes in
            Result { () throws(JSONFault) in _ = try JSONParser.parse(bytes) }
        }
    }

    private static let texts = [
        #"{"a":[1,-2.5e+3,0,true,false,null,"x",{}],"b":{"c":[]}}"#,
        #""eight or more plain bytes, then \" and \\ \u00e9""#,
        #"["é","日本語","😀","\ud83d\ude00","\n\t\/"]"#, " [ 1 , 2 ] ", "0", "-0.0", "\"\"", #"{"":{"":""}}"#,
        String(repeating: "[", count: 64) + String(repeating: "]", count: 64),
    ]

    @Test(arguments: texts)
    func passesOver(_ text: String) throws {
        try Self.skip(Array(text.utf8)).get()
    }

    @Test func agreesWithTheParserOnDamagedTexts() {
        let pieces = ["\"", "\\", ",", ":", "{", "}", "[", "]", "\u{1}", "0", ".", "e", "-", "tru", "\\u12", " ", "é"]
        var generator = SystemRandomNumberGenerator()
        var refused = 0
        for _ in 0..<30_000 {
            var text = Array((Self.texts.randomElement() ?? "").utf8)
            for _ in 0..<Int.random(in: 1...2, using: &generator) {
                let place = Int.random(in: 0...text.count, using: &generator)
                switch Int.random(in: 0...3, using: &generator) {
                case 0: text.insert(contentsOf: (pieces.randomElement() ?? "").utf8, at: place)
                case 1 where place < text.count: text.remove(at: place)
                case 2 where place < text.count: text[place] = UInt8.random(in: 0...255, using: &generator)
                default: text.removeSubrange(place...)
                }
            }
            let (own, peer) = (Self.skip(text), Self.parse(text))
            switch (own, peer) {
            case (.success, .success): continue
            // Where a text has two faults, either may be found first.
            case (.failure, .failure): refused += 1
            // The only thing that a cursor leaves to whoever reads members.
            case (.success, .failure(let fault)) where fault.message.hasSuffix("comes twice"): continue
            default: Issue.record("\(own) but \(peer) for \(String(decoding: text, as: UTF8.self).debugDescription)")
            }
        }
        #expect(refused > 10_000, "\(refused) were refused")
    }

    @Test func findsMembers() throws {
        let text = Array(#" {"a" : [1, 2], "b\u0062":"x\n" } "#.utf8)
        try text.withUnsafeBytes { bytes in
            var cursor = JSONCursor(bytes)
            #expect(try cursor.beginObject())
            let first = try cursor.memberName()
            #expect(first.isPlain && bytes[first.range].elementsEqual("a".utf8))
            #expect(bytes[try cursor.skipValue()].elementsEqual("[1, 2]".utf8))
            #expect(try cursor.hasNextMember())
            #expect(try !cursor.memberName().isPlain)
            #expect(bytes[try cursor.text().range].elementsEqual(#"x\n"#.utf8))
            #expect(try !cursor.hasNextMember())
            try cursor.end()
        }
    }

    @Test func boundsTheDepth() {
        let deep = Array(String(repeating: "[", count: 65).utf8)
        guard case .failure(let fault) = Self.skip(deep) else {
            Issue.record("taken")
            return
        }
        #expect(fault.offset == 64 && fault.message.contains("64"))
    }
}
