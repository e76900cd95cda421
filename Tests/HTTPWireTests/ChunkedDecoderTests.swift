import HTTPWire
import Testing

@Suite struct ChunkedDecoderTests {
    /// The content, and what follows the body.
    private static func decode(_ text: String, pieces: Int) throws(HTTPFault) -> (content: String, rest: String?) {
        var decoder = ChunkedDecoder()
        let bytes = Array(text.utf8)
        var content: [UInt8] = []
        var start = 0
        while start < bytes.count {
            let piece = Array(bytes[start..<min(start + pieces, bytes.count)])
            var at = 0
            while true {
                var result: Result<ChunkedDecoder.Part?, HTTPFault> = .success(nil)
                piece.withUnsafeBytes { bytes in
                    result = Result { () throws(HTTPFault) in try decoder.next(bytes, at: &at) }
                }
                guard let part = try result.get() else { break }
                switch part {
                case .content(let place): content += piece[place]
                case .end:
                    return (
                        String(decoding: content, as: UTF8.self),
                        String(decoding: bytes[(start + at)...], as: UTF8.self)
                    )
                }
            }
            start += pieces
        }
        return (String(decoding: content, as: UTF8.self), nil)
    }

    @Test(arguments: 1...40)
    func comesInAnyPieces(_ pieces: Int) throws {
        let text = "4\r\nWiki\r\n00A;name=\"v\"\r\n0123456789\r\n0\r\nTrailer: x\r\nY: z\r\n\r\nNEXT"
        let (content, rest) = try Self.decode(text, pieces: pieces)
        #expect(content == "Wiki0123456789" && rest == "NEXT")
    }

    @Test func anEndThatIsMissingIsNoEnd() throws {
        #expect(try Self.decode("4\r\nWiki\r\n0\r\n", pieces: 3).rest == nil)
        #expect(try Self.decode("4\r\nWi", pieces: 3).content == "Wi")
    }

    @Test(arguments: [
        "\r\n", "g\r\n", "-1\r\n", " 4\r\nWiki\r\n", "4 \r\nWiki\r\n", "4\nWiki\n", "4\r\nWikiX\r\n",
        "4\r\nWiki\n0\r\n\r\n",
        "0x4\r\nWiki\r\n", "123456789\r\n", "4;a\nb\r\nWiki\r\n", "4\r\nWiki\r\n0\r\nA: b\n\r\n", "0\r\n\rX",
        "1;" + String(repeating: "x", count: 5_000),
    ])
    func refuses(_ text: String) {
        for pieces in [1, 5_100] {
            do {
                let decoded = try Self.decode(text, pieces: pieces)
                Issue.record("read as \(decoded)")
            } catch { #expect(error.status == 400) }
        }
    }
}
