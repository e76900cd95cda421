import HTTPWire
import Testing

@Suite struct ResponseHeadTests {
    private static func read(_ text: String) throws(HTTPFault) -> ResponseHead? {
        var head = ResponseHead()
        var searched = 0
        let bytes = Array(text.utf8)
        var result: Result<Bool, HTTPFault> = .success(false)
        bytes.withUnsafeBytes { bytes in
            result = Result { () throws(HTTPFault) in try head.read(bytes, searched: &searched, limit: 4_096) }
        }
        return try result.get() ? head : nil
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, BodyFraming.length(5), true),
        ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, .chunked, true),
        ("HTTP/1.1 200\r\n\r\n", 200, .untilClose, false),
        ("HTTP/1.1 503 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 503, .length(0), false),
        ("HTTP/1.1 200 OK\r\n\r\n", 200, .untilClose, false), ("HTTP/1.0 200 OK\r\n\r\n", 200, .untilClose, false),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, .length(0), true),
        ("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", 304, .length(0), true),
        ("HTTP/1.1 100 Continue\r\n\r\n", 100, .length(0), true),
    ])
    func reads(_ text: String, status: Int, framing: BodyFraming, keepsAlive: Bool) throws {
        let head = try #require(try Self.read(text))
        #expect(head.status == status && head.framing == framing && head.keepsAlive == keepsAlive)
        #expect(head.length == text.utf8.count)
    }

    @Test(arguments: [
        "HTTP/2 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n\r\n", "HTTP/1.1 200 OK\nX: y\r\n\r\n", "\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nX\r\n\r\n",
    ])
    func refuses(_ text: String) {
        do {
            let head = try Self.read(text)
            Issue.record("read as \(String(describing: head))")
        } catch {
            #expect(error.status == 502, "\(error)")
        }
    }
}
