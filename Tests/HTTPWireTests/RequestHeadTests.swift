import HTTPWire
import Testing

@Suite struct RequestHeadTests {
    /// What a head says, as texts.
    private struct Read: Equatable {
        var path = ""
        var query = ""
        var fields: [String] = []
        var framing = BodyFraming.length(0)
        var keepsAlive = true
    }

    private static func read(_ text: String, limit: Int = 32_768) throws(HTTPFault) -> Read? {
        try read(Array(text.utf8), limit: limit)
    }

    private static func read(_ bytes: [UInt8], limit: Int = 32_768) throws(HTTPFault) -> Read? {
        var head = RequestHead()
        var searched = 0
        // A copy of exactly these bytes, so that reading past them is seen by the sanitiser and by bounds checks.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        copy.copyBytes(from: bytes)
        defer { copy.deallocate() }
        guard try head.read(UnsafeRawBufferPointer(copy), searched: &searched, limit: limit) else { return nil }
        let text = { (place: Range<Int>) in String(decoding: bytes[place], as: UTF8.self) }
        return Read(
            path: text(head.path), query: text(head.query),
            fields: head.fields.map { "\(text($0.name))=\(text($0.value))" }, framing: head.framing,
            keepsAlive: head.keepsAlive)
    }

    @Test func readsAHead() throws {
        let text =
            "POST /v1/completions?a=b%20c HTTP/1.1\r\nHost: h:1\r\nContent-Length:  12 \r\nX-Empty:\r\n"
            + "X-Text: a\tb \u{e9}\r\n\r\nbody"
        let head = try #require(try Self.read(text))
        #expect(head.path == "/v1/completions" && head.query == "a=b%20c")
        #expect(head.fields == ["Host=h:1", "Content-Length=12", "X-Empty=", "X-Text=a\tb \u{e9}"])
        #expect(head.framing == .length(12) && head.keepsAlive)
    }

    /// Values are read eight bytes at a time: what is forbidden in one must be found at every place, and nothing else.
    @Test(arguments: 0..<40)
    func everyByteOfAValueIsLookedAt(_ place: Int) async throws {
        let before = Array("GET / HTTP/1.1\r\nHost: h\r\nX: (".utf8)
        for byte in UInt8.min...UInt8.max {
            // Other tests wait for this thread.
            if byte % 32 == 0 { await Task.yield() }
            var value = [UInt8](repeating: UInt8(ascii: "v"), count: 40)
            value[place] = byte
            let text = before + value + Array(")\r\n\r\n".utf8)
            let isAllowed = byte >= 0x20 && byte != 0x7f || byte == 0x09
            do {
                let head = try #require(try Self.read(text))
                #expect(isAllowed, "byte \(byte) is taken")
                #expect(head.fields.last == "X=(" + String(decoding: value, as: UTF8.self) + ")")
            } catch let fault as HTTPFault {
                #expect(!isAllowed && fault.status == 400, "byte \(byte): \(fault)")
                let index = before.count + place + 1
                // A carriage return ends the line, and what follows it is no line feed.
                #expect(fault.message.contains(byte == 0x0d ? "CR LF" : "byte \(index) of the head"), "\(fault)")
            }
        }
    }

    @Test func aHeadMayComeInAnyPieces() throws {
        let text = Array("\r\nGET / HTTP/1.1\r\nhost: h\r\nconnection: Keep-Alive, Close\r\n\r\n".utf8)
        var head = RequestHead()
        var searched = 0
        for count in 0..<text.count {
            let isWhole = try text[..<count].withUnsafeBytes { try head.read($0, searched: &searched, limit: 100) }
            #expect(!isWhole, "after \(count) bytes")
        }
        #expect(try text.withUnsafeBytes { try head.read($0, searched: &searched, limit: 100) })
        #expect(head.length == text.count && !head.keepsAlive)
    }

    @Test(arguments: [
        ("GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n", "/a", "b"),
        ("GET HTTPS://h:8/ HTTP/1.1\r\nHost: h\r\n\r\n", "/", ""),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "*", ""),
        ("GET /?? HTTP/1.1\r\nHost: h\r\n\r\n", "/", "?"),
        ("GET //evil/ HTTP/1.0\r\n\r\n", "//evil/", ""),
    ])
    func targets(_ text: String, path: String, query: String) throws {
        let head = try #require(try Self.read(text))
        #expect(head.path == path && head.query == query)
    }

    /// What a proxy and a server might read differently, and what no client sends.
    @Test(arguments: [
        ("GET / HTTP/1.1\nHost: h\n\n\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400), ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400), (" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400), ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400), ("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/1.\r\nHost: h\r\n\r\n", 400), ("GET / HTTX/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\r\nHost: h\r\n\r\n", 400), ("\u{16}\u{3}\u{1}\r\n\r\n", 400), ("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n X: folded\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\u{0}b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\u{7f}\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\rY: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX[]: b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", 417),
    ])
    func refuses(_ text: String, status: Int) {
        do {
            let head = try Self.read(text)
            Issue.record("read as \(String(describing: head))")
        } catch {
            #expect(error.status == status, "\(error)")
        }
    }

    @Test func boundsTheHead() throws {
        let field = "X: \(String(repeating: "a", count: 8_192))\r\n"
        #expect(try Self.read("GET / HTTP/1.1\r\nHost: h\r\n\(field)\r\n") != nil)
        for text in ["GET / HTTP/1.1\r\nHost: h\r\n\(field)", "GET / HTTP/1.1\r\nHost: h\r\n\(field)\r\n"] {
            do {
                _ = try Self.read(text, limit: 8_000)
                Issue.record("read")
            } catch { #expect(error.status == 431) }
        }
        let many = String(repeating: "a: b\r\n", count: RequestHead.fieldLimit)
        do {
            _ = try Self.read("GET / HTTP/1.1\r\nHost: h\r\n\(many)\r\n")
            Issue.record("read")
        } catch { #expect(error.status == 431) }
    }

    @Test func oldVersionsEndWithTheAnswerUnlessAskedOtherwise() throws {
        #expect(try Self.read("GET / HTTP/1.0\r\n\r\n")?.keepsAlive == false)
        #expect(try Self.read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")?.keepsAlive == true)
        #expect(try Self.read("GET / HTTP/1.1\r\nHost: h\r\nConnection: CLOSE\r\n\r\n")?.keepsAlive == false)
    }
}
