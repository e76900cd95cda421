import HTTPWire
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

/// What is read here must be read the same by llhttp, the parser of Node.js and SwiftNIO: where two parsers disagree a
/// request can be hidden inside another.
@Suite struct PeerTests {
    /// Requests that are right, to be damaged.
    private static let seeds = [
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "GET /?q HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-A: b\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    ]
    private static let pieces = [
        "\r", "\n", "\r\n", " ", "\t", ":", "0", "5", "chunked", "Content-Length: 5\r\n", "Content-Length: 6\r\n", ",",
        "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "\u{0}", "\u{b}", "GET / HTTP/1.1\r\n\r\n",
        ";x=y", "Host: h\r\n", "HTTP/1.1", "/", "+", "-", "x",
    ]

    /// A linear congruential generator: the same damage in every run.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 11 ^ state << 21
        }
    }

    @Test func everyRequestThatIsTakenMeansTheSameToLlhttp() async throws {
        var generator = Generator(state: 20_261_126)
        var taken = 0
        for round in 0..<6_000 {
            // Other tests wait for this thread.
            if round % 20 == 0 { await Task.yield() }
            var text = Array((Self.seeds.randomElement(using: &generator) ?? "").utf8)
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                let place = Int.random(in: 0...text.count, using: &generator)
                switch Int.random(in: 0...2, using: &generator) {
                case 0: text.insert(contentsOf: (Self.pieces.randomElement(using: &generator) ?? "").utf8, at: place)
                case 1 where place < text.count: text.remove(at: place)
                default:
                    let end = min(text.count, place + Int.random(in: 1...8, using: &generator))
                    text.insert(contentsOf: text[place..<end], at: place)
                }
            }
            guard let own = try? Self.own(text) else { continue }
            taken += 1
            guard var peer = Self.peer(text) else { continue }
            // An empty query is no query here.
            if peer.path.hasSuffix("?"), own.path + "?" == peer.path { peer.path.removeLast() }
            #expect(own == peer, "round \(round): \(String(decoding: text, as: UTF8.self).debugDescription)")
        }
        // Were nearly all refused, this would show nothing.
        #expect(taken > 1_200, "\(taken) of 6000 were taken")
    }

    private struct Message: Equatable {
        var path: String
        var content: String
        var rest: Int
    }

    private struct Incomplete: Error {}

    private static func own(_ text: [UInt8]) throws -> Message {
        var head = RequestHead()
        var searched = 0
        guard try text.withUnsafeBytes({ try head.read($0, searched: &searched, limit: 8_192) }) else {
            throw Incomplete()
        }
        let target =
            String(decoding: text[head.path], as: UTF8.self)
            + (head.query.isEmpty ? "" : "?" + String(decoding: text[head.query], as: UTF8.self))
        switch head.framing {
        case .length(let count):
            guard text.count >= head.length + count else { throw Incomplete() }
            let content = String(decoding: text[head.length..<head.length + count], as: UTF8.self)
            return Message(path: target, content: content, rest: text.count - head.length - count)
        case .chunked:
            var decoder = ChunkedDecoder()
            var at = head.length
            var content: [UInt8] = []
            while let part = try text.withUnsafeBytes({ try decoder.next($0, at: &at) }) {
                guard case .content(let place) = part else {
                    return Message(
                        path: target, content: String(decoding: content, as: UTF8.self), rest: text.count - at)
                }
                content += text[place]
            }
            throw Incomplete()
        case .untilClose: throw Incomplete()
        }
    }

    /// The first message as llhttp has it; nil when it refuses it, which is stricter and so no danger.
    private static func peer(_ text: [UInt8]) -> Message? {
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        // Byte by byte, to see how many the first message takes.
        guard (try? channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))) != nil
        else {
            return nil
        }
        var message: Message?
        for (index, byte) in text.enumerated() {
            guard (try? channel.writeInbound(ByteBuffer(bytes: [byte]))) != nil else { return nil }
            while let part = try? channel.readInbound(as: HTTPServerRequestPart.self) {
                switch part {
                case .head(let head): message = Message(path: head.uri, content: "", rest: 0)
                case .body(let buffer): message?.content += String(buffer: buffer)
                case .end:
                    message?.rest = text.count - index - 1
                    return message
                }
            }
        }
        return nil
    }
}
