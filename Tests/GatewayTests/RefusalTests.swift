import Crypto
import Logging
import NIOCore
import Pipeline
import TestPeers
import Testing

@testable import Gateway

/// What is never passed on, and what clients are told instead.
@Suite(.timeLimit(.minutes(5))) struct RefusalTests {
    /// A gateway before a model server that must not be asked.
    private static func withGateway(
        _ change: (inout GatewayConfiguration) -> Void = { _ in }, _ body: (Gateway) async throws -> Void
    ) async throws {
        let asked = Progress()
        try await ScriptedUpstream.with { peer in
            if (try? await peer.read(count: 1)) != nil { asked.add() }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], change, body)
        }
        #expect(asked.count == 0)
    }

    private static func exchange(_ gateway: Gateway, _ text: String) async throws -> String {
        try await WirePeer.connect(port: gateway.port) { client in
            try await client.send(text)
            return try await client.readToEnd()
        }
    }

    /// Requests that a server behind might read otherwise; after each the connection ends, so that nothing hidden in it
    /// becomes a request of its own.
    @Test(arguments: [
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;\nabcde\r\n0\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n05 \r\nabcde\r\n0\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\n Content-Length: 5\r\n\r\nabcde",
        "POST /v1/completions HTTP/1.1\nHost: h\nContent-Length: 0\n\n\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 5\r\n\r\nabcde",
        "POST /v1/completions HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "POST /v1/completions\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n",
        "GET / FTP/1.1\r\nHost: h\r\n\r\n",
    ])
    func requestsThatMayBeReadTwoWays(_ text: String) async throws {
        try await Self.withGateway { gateway in
            let hidden = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
            let answer = try await Self.exchange(gateway, text + hidden)
            #expect(answer.hasPrefix("HTTP/1.1 400 ") || answer.hasPrefix("HTTP/1.1 501 "), "\(answer)")
            #expect(answer.contains("connection: close\r\n") && answer.contains(#""type":"invalid_request_error""#))
            #expect(answer.components(of: "HTTP/1.1 ") == 1, "\(answer)")
        }
    }

    private static let post = "POST /v1/completions HTTP/1.1\r\nHost: h\r\n"

    /// Each of them as one piece and byte by byte: what a parser keeps between two reads must not change its mind.
    @Test(arguments: [
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", "Content-Length: 5, 5\r\n\r\nabcde",
        "Content-Length: +5\r\n\r\nabcde", "Content-Length: 0x5\r\n\r\nabcde", "Content-Length: 5_0\r\n\r\nabcde",
        "Content-Length: 99999999999999999999\r\n\r\nabcde", "Content-Length:\r\n\r\n",
        "Content-Length: 5 5\r\n\r\nabcde",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\u{0}\r\n\r\n0\r\n\r\n", "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n+5\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n00000000000000005\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nX: \u{0}\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n",
        "A\u{0}B: x\r\n\r\n", "A: x\u{0}\r\n\r\n", "A(: x\r\n\r\n", ": x\r\n\r\n", "A\r\n\r\n", "Host: i\r\n\r\n",
    ])
    func bodiesThatMayBeReadTwoWays(_ text: String) async throws {
        try await Self.withGateway { gateway in
            let hidden = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
            let whole = try await Self.exchange(gateway, Self.post + text + hidden)
            let slow = try await WirePeer.connect(port: gateway.port) { client in
                for byte in (Self.post + text + hidden).utf8 {
                    // It ends the connection where it has seen enough.
                    guard (try? await client.send(ByteBuffer(bytes: [byte]))) != nil else { break }
                }
                return (try? await client.readToEnd()) ?? ""
            }
            for answer in [whole, slow] where !(answer.isEmpty && answer == slow) {
                #expect(answer.hasPrefix("HTTP/1.1 400 ") || answer.hasPrefix("HTTP/1.1 501 "), "\(answer)")
                #expect(
                    answer.contains("connection: close\r\n") && answer.components(of: "HTTP/1.1 ") == 1, "\(answer)")
            }
        }
    }

    @Test(arguments: [
        "GET  / HTTP/1.1", "GET /health  HTTP/1.1", " GET /health HTTP/1.1", "GET /health HTTP/1.1 ",
        "GET /health http/1.1",
        "GET /he alth HTTP/1.1", "GET /health\u{7f} HTTP/1.1", "GET http://h?/health HTTP/1.1",
        "GET http:///health HTTP/1.1",
        "GET http://h#/health HTTP/1.1", "GET health HTTP/1.1", "G(T /health HTTP/1.1", "CONNECT h:80 HTTP/1.1",
    ])
    func requestLines(_ line: String) async throws {
        try await Self.withGateway { gateway in
            let answer = try await Self.exchange(gateway, line + "\r\nHost: h\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 400 ") && answer.contains("connection: close\r\n"), "\(answer)")
            let other = try await Self.exchange(gateway, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            #expect(other.hasPrefix("HTTP/1.1 505 ") || other.hasPrefix("HTTP/1.1 400 "), "\(other)")
        }
    }

    /// What looks odd and can be read in one way only is one request, and the next one after it is the next.
    @Test(arguments: [
        "Transfer-Encoding: Chunked\r\n\r\n4;a=b\r\n{\"mo\r\n0007\r\ndel\":\"x\r\n2\r\n\"}\r\n0\r\nX: y\r\n\r\n",
        "Content-Length: 0013\r\n\r\n{\"model\":\"x\"}", "Upgrade: h2c\r\nContent-Length: 13\r\n\r\n{\"model\":\"x\"}",
        "X: \u{e9}\r\nContent-Length: 13\r\n\r\n{\"model\":\"x\"}",
    ])
    func oddRequestsAreOneRequest(_ text: String) async throws {
        try await Self.withGateway { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                for _ in 0..<2 {
                    try await client.send(Self.post + text)
                    let (head, body) = try await client.readResponse()
                    #expect(head.hasPrefix("HTTP/1.1 404 ") && body.contains("model_not_found"), "\(head)\(body)")
                }
            }
        }
    }

    /// What comes after a request that ends the connection, or after one that is none, is not read.
    @Test func nothingIsReadAfterTheEnd() async throws {
        try await Self.withGateway { gateway in
            let good = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
            let last = "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            #expect(try await Self.exchange(gateway, last + good).components(of: "HTTP/1.1 200 ") == 1)
            let mixed = try await Self.exchange(gateway, good + "nonsense\r\n\r\n" + good)
            #expect(mixed.components(of: "HTTP/1.1 200 ") == 1 && mixed.components(of: "HTTP/1.1 ") == 2)
            // What is told of a head that never came does not follow the request before.
            let endless = "HEAD /health HTTP/1.1\r\nHost: h\r\n\r\nGET /health HTTP/1.1\r\nX: "
            let told = try await Self.exchange(gateway, endless + String(repeating: "x", count: 40_000))
            #expect(told.contains("HTTP/1.1 431 ") && told.contains("\"code\":\"malformed_request\""))
        }
    }

    @Test func anOldClientIsToldThatItsConnectionGoesOn() async throws {
        try await Self.withGateway { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                for _ in 0..<2 {
                    try await client.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                    #expect(try await client.readResponse().head.contains("connection: keep-alive\r\n"))
                }
                try await client.send("GET /health HTTP/1.0\r\n\r\n")
                #expect(try await client.readToEnd().contains("connection: close\r\n"))
            }
        }
    }

    @Test func sizesAreExact() async throws {
        try await Self.withGateway {
            $0.limits.head = 2_000
            $0.limits.body = 2_000
        } _: { gateway in
            for (size, status) in [(2_000, 200), (2_001, 431)] {
                let head = "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: "
                let text = head + String(repeating: "x", count: size - head.utf8.count - 4) + "\r\n\r\n"
                #expect(text.utf8.count == size)
                #expect(try await Self.exchange(gateway, text).hasPrefix("HTTP/1.1 \(status) "))
            }
            for (size, status) in [(2_000, 404), (2_001, 413)] {
                let body = #"{"model":"x","p":""# + String(repeating: "y", count: size - 20) + #""}"#
                #expect(body.utf8.count == size)
                let request = TestGateway.request(body, fields: "Connection: close\r\n")
                #expect(try await Self.exchange(gateway, request).hasPrefix("HTTP/1.1 \(status) "))
                let chunks =
                    "\(String(size - 10, radix: 16))\r\n\(body.prefix(size - 10))\r\na\r\n\(body.suffix(10))\r\n0\r\n\r\n"
                let chunked = Self.post + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
                #expect(try await Self.exchange(gateway, chunked).hasPrefix("HTTP/1.1 \(status) "))
            }
            // Nobody is asked for a body that is not wanted.
            let expected = try await Self.exchange(
                gateway, Self.post + "Content-Length: 52428800\r\nExpect: 100-continue\r\n\r\n")
            #expect(expected.hasPrefix("HTTP/1.1 413 ") && !expected.contains("100 Continue"))
            for (count, status) in [(97, 200), (98, 431)] {
                let fields = (0..<count).map { "X-\($0): y\r\n" }.joined()
                let text = "GET /health HTTP/1.1\r\nHost: h\r\nA: b\r\nConnection: close\r\n\(fields)\r\n"
                #expect(try await Self.exchange(gateway, text).hasPrefix("HTTP/1.1 \(status) "))
            }
        }
    }

    @Test func aConnectionThatIsNotUsedIsClosedAndFurtherOnesAreTooMany() async throws {
        try await Self.withGateway {
            $0.timeouts.keepAlive = .seconds(3)
            $0.limits.connections = 4
            $0.threads = 1
        } _: { gateway in
            try await WirePeer.connect(port: gateway.port) { first in
                for _ in 0..<2 {
                    try await first.send("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
                    #expect(try await first.readResponse().head.hasPrefix("HTTP/1.1 200 "))
                }
                // Without a word: a client that asks just then tries again.
                #expect(try await first.readToEnd().isEmpty)
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                let ready = Progress()
                for _ in 0..<4 {
                    group.addTask {
                        try await WirePeer.connect(port: gateway.port) { client in
                            // One byte, so that it is no idle one.
                            try await client.send("G")
                            ready.add()
                            _ = try await client.readToEnd()
                        }
                    }
                }
                while ready.count < 4 { try await Task.sleep(for: .milliseconds(5)) }
                // It is closed without a word: whoever waits has its place.
                let extra = try? await WirePeer.connect(port: gateway.port) { client in
                    try await client.send("GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                    return try await client.readToEnd()
                }
                // Else there is an answer.
                #expect(extra ?? "" == "")
                group.cancelAll()
            }
        }
    }

    @Test func aHeaderOf8KBPassesAndAnEndlessOneDoesNot() async throws {
        try await Self.withGateway { gateway in
            let field = "X-Long: \(String(repeating: "a", count: 8_192))\r\n"
            let short = try await Self.exchange(
                gateway, "GET /health HTTP/1.1\r\nHost: h\r\n\(field)Connection: close\r\n\r\n")
            #expect(short.hasPrefix("HTTP/1.1 200 "))
            let long = try await Self.exchange(
                gateway, "GET /health HTTP/1.1\r\nHost: h\r\n" + String(repeating: field, count: 10))
            #expect(long.hasPrefix("HTTP/1.1 431 "))
        }
    }

    @Test func aBodyOf50MBIsRefusedBeforeItIsRead() async throws {
        try await Self.withGateway { gateway in
            let told = try await Self.exchange(
                gateway, "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 52428800\r\n\r\n")
            #expect(told.hasPrefix("HTTP/1.1 413 ") && told.contains("8388608"))
            // A chunked one when it has become too long.
            let answer = try await WirePeer.connect(port: gateway.port) { client in
                try await client.send("POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
                let chunk = "100000\r\n" + String(repeating: "a", count: 1 << 20) + "\r\n"
                // The gateway stops reading after eight of them, and the connection may end under the rest.
                for _ in 0..<50 {
                    guard (try? await client.send(chunk)) != nil else { break }
                }
                return (try? await client.readToEnd()) ?? ""
            }
            #expect(answer.hasPrefix("HTTP/1.1 413 "))
        }
    }

    @Test func slowRequestsAreEnded() async throws {
        try await Self.withGateway {
            // Time enough for a first byte on a busy machine: one that comes later is no request.
            $0.timeouts.head = .seconds(4)
            $0.timeouts.body = .milliseconds(300)
            $0.timeouts.keepAlive = .milliseconds(300)
        } _: { gateway in
            // Every byte in time, and all of them never.
            let slow = try await WirePeer.connect(port: gateway.port) { client in
                // Unstructured: until there is an answer, as who goes on after it may lose it.
                let sending = Task {
                    for byte in "GET /health HTTP/1.1\r\nHost: h\r\nX-Slow: " { try await client.send(String(byte)) }
                    while true {
                        try await client.send("a")
                        try await Task.sleep(for: .milliseconds(20))
                    }
                }
                defer { sending.cancel() }
                return try await client.read(until: "head_timeout")
            }
            #expect(slow.hasPrefix("HTTP/1.1 408 ") && slow.contains("head_timeout"))
            let body = try await Self.exchange(
                gateway, "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
            #expect(body.hasPrefix("HTTP/1.1 408 ") && body.contains("body_timeout"))
            // Nor does a body have more time for every byte that comes.
            for head in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
                let dribble = head.hasPrefix("C") ? "a" : "1\r\na\r\n"
                let told = try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send("POST /v1/completions HTTP/1.1\r\nHost: h\r\n\(head)\r\n\r\n")
                    let sending = Task {
                        while true {
                            try await client.send(dribble)
                            try await Task.sleep(for: .milliseconds(20))
                        }
                    }
                    defer { sending.cancel() }
                    return try await client.read(until: "body_timeout")
                }
                #expect(told.hasPrefix("HTTP/1.1 408 "))
            }
            #expect(try await Self.exchange(gateway, "").isEmpty)
        }
    }

    @Test(arguments: [
        ("{", 400, "invalid_body"), (#"{"model":"m","prompt":"\#u{1}"}"#, 400, "invalid_body"),
        (#"{"model":"other"}"#, 404, "model_not_found"), (#"{"model":"m:2"}"#, 404, "model_not_found"),
        (#"{"model":"m","model":"n"}"#, 400, "invalid_body"), (#"{"model":"m","n":129}"#, 400, "invalid_body"),
        (#"{"model":"m","n":128,"max_tokens":10000000}"#, 400, "too_many_tokens"),
        (#"{"model":"m","best_of":128,"max_tokens":10000000,"prompt":["","",""]}"#, 400, "too_many_tokens"),
        (#"{"model":"m","messages":\#(String(repeating: "[", count: 70))"#, 400, "invalid_body"),
    ])
    func bodies(_ body: String, status: Int, code: String) async throws {
        try await Self.withGateway { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                // The connection goes on: the request was read whole.
                for _ in 0..<2 {
                    try await client.send(TestGateway.request(body))
                    let (head, answer) = try await client.readResponse()
                    #expect(
                        head.hasPrefix("HTTP/1.1 \(status) ") && answer.contains("\"code\":\"\(code)\""), "\(answer)")
                    #expect(head.contains("content-type: application/json\r\n"))
                }
            }
        }
    }

    /// A byte that goes on with nothing, a sequence that is too long for its character, half of a pair of surrogates, one
    /// beyond the last character, one that is cut.
    @Test(
        arguments: [[0xc3, 0x28], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]] as [[UInt8]]
    )
    func textThatIsNotUTF8IsNamed(_ text: [UInt8]) async throws {
        try await Self.withGateway { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                let body: [UInt8] = Array(#"{"model":"m","prompt":""#.utf8) + text + Array(#""}"#.utf8)
                var request = ByteBuffer(
                    string: "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.count)\r\n\r\n")
                request.writeBytes(body)
                try await client.send(request)
                let (head, answer) = try await client.readResponse()
                #expect(head.hasPrefix("HTTP/1.1 400 ") && answer.contains("byte 24: not UTF-8"), "\(answer)")
            }
        }
    }

    @Test func pathsAndMethods() async throws {
        try await Self.withGateway { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                for (line, status) in [
                    ("GET /v1/chat/completions", 405), ("DELETE /v1/models", 405), ("GET /v2", 404),
                    ("POST /health", 405), ("GET /v1/models/../models", 404), ("GET /v1/models?x", 200),
                    ("GET /v1/models/m", 200), ("GET /v1/models/m%40champion", 200), ("GET /v1/models/m:1", 200),
                    ("GET /v1/models/m%4", 404), ("GET /v1/models/m%zz", 404), ("GET /v1/models/", 404),
                    ("GET /v1/models/n", 404), ("POST /v1/models/m", 404),
                    ("HEAD /health", 405),
                ] {
                    try await client.send("\(line) HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
                    let head = try await client.read(until: "\r\n\r\n")
                    #expect(head.hasPrefix("HTTP/1.1 \(status) "), "\(line): \(head)")
                    #expect(head.contains("allow: ") == (status == 405))
                    guard !line.hasPrefix("HEAD") else { continue }
                    let length = try #require(head.firstMatch(of: #/content-length: (\d+)/#).flatMap { Int($0.1) })
                    _ = try await client.read(count: length)
                }
            }
        }
    }

    /// What nobody reads is not written for ever.
    @Test func whoReadsNoAnswersGetsNoMoreOfThem() async throws {
        try await Self.withGateway { gateway in
            let total = 10_000
            let sent = Progress()
            try await WirePeer.connect(port: gateway.port, isReading: false, receiveBuffer: 65_536) { client in
                let request =
                    "GET /nowhere HTTP/1.1\r\nHost: h\r\nX: \(String(repeating: "x", count: 8_000))\r\n\r\n"
                let batch = String(repeating: request, count: 100)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for _ in 0..<total / 100 {
                            try await client.send(batch)
                            sent.add()
                        }
                    }
                    await sent.waitUntilItStands()
                    // 80 MB of them: what is taken is what the answers to it still fit into the buffers.
                    #expect(sent.count < total / 100, "\(sent.count * 100) requests were taken")
                    await client.setReading(true)
                    for _ in 0..<total {
                        #expect(try await client.readResponse().head.hasPrefix("HTTP/1.1 404 "))
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test func anAddressThatIsTakenIsNamed() async throws {
        try await Self.withGateway { gateway in
            let error = await #expect(throws: GatewayStartError.self) {
                _ = try await Gateway.start(
                    GatewayConfiguration(port: gateway.port),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            }
            #expect(error?.description.contains("127.0.0.1:\(gateway.port)") == true)
            #expect(error?.description.contains("MARTLET_GATEWAY_ADDRESS") == true)
        }
    }

    @Test func clientsThatInventModelsMakeNoSeries() async throws {
        try await Self.withGateway { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                for index in 0..<500 {
                    for name in ["invented-\(index)", "m:\(index + 2)", "m@invented-\(index)"] {
                        try await client.send(TestGateway.request(#"{"model":"\#(name)"}"#))
                        #expect(try await client.readResponse().head.hasPrefix("HTTP/1.1 404 "))
                    }
                    for path in ["/v1/models/invented-\(index)", "/invented-\(index)"] {
                        try await client.send("GET \(path) HTTP/1.1\r\nHost: h\r\n\r\n")
                        #expect(try await client.readResponse().head.hasPrefix("HTTP/1.1 404 "))
                    }
                }
            }
            #expect(gateway.core.metrics.seriesCount == 0)
            #expect(gateway.core.metrics.refusalReasons == ["model_not_found", "unknown_path"])
        }
    }

    @Test func keysOpenWhatTheyMay() async throws {
        @Sendable func key(_ id: Int, _ secret: String, _ change: (inout APIKey.Limits) -> Void = { _ in }) -> APIKey {
            var key = APIKey(id: id, name: secret, team: "t", digest: Array(SHA256.hash(data: Array(secret.utf8))))
            change(&key.limits)
            return key
        }
        try await ScriptedUpstream.with { peer in
            while true {
                _ = try await peer.readRequest()
                try await peer.answer(TestGateway.answer)
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], { $0.requiresKeys = true }) { gateway in
                func ask(_ secret: String?) async throws -> (head: String, body: String) {
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(
                            TestGateway.request(fields: secret.map { "Authorization: \($0)\r\n" } ?? ""))
                        return try await client.readResponse()
                    }
                }
                #expect(try await ask("Bearer any").body.contains("keys_unavailable"))
                gateway.setKeys([
                    key(1, "good"), key(2, "other") { $0.models = ["n"] }, key(3, "slow") { $0.requestsPerMinute = 2 },
                    key(4, "small") { $0.tokensPerMinute = 10 }, key(5, "poor") { $0.monthlyBudget = 0 },
                    key(6, "old") { $0.expires = Timestamp(microseconds: 1) },
                    key(7, "strict") {
                        $0.onFailure = .closed
                        $0.requestsPerMinute = 5
                    },
                ])
                #expect(try await ask(nil).body.contains("missing_api_key"))
                for wrong in ["Bearer bad", "Basic good", "Bearer ", "good", "Bearer good "] {
                    let (head, body) = try await ask(wrong)
                    let isGood = wrong == "Bearer good "
                    #expect(head.hasPrefix(isGood ? "HTTP/1.1 200 " : "HTTP/1.1 401 "), "\(wrong): \(body)")
                }
                #expect(try await ask("bearer good").head.hasPrefix("HTTP/1.1 200 "))
                #expect(try await ask("Bearer other").body.contains("model_not_allowed"))
                #expect(try await ask("Bearer old").head.hasPrefix("HTTP/1.1 401 "))
                // Nor may they have anything else.
                for (secret, status) in [("old", 401), ("other", 403), ("good", 200)] {
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(
                            TestGateway.request(
                                #"{"model":"m","prompt":"x"}"#, path: "/tokenize",
                                fields: "Authorization: Bearer \(secret)\r\n"))
                        #expect(try await client.readResponse().head.hasPrefix("HTTP/1.1 \(status) "))
                    }
                }
                // Who has no key is told so before the body is sent.
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(
                        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n"
                            + "Expect: 100-continue\r\n\r\n")
                    #expect(try await client.readToEnd().hasPrefix("HTTP/1.1 401 "))
                }
                try await waitForRoomInTheMinute()
                for _ in 0..<2 { #expect(try await ask("Bearer slow").head.hasPrefix("HTTP/1.1 200 ")) }
                let (head, body) = try await ask("Bearer slow")
                #expect(head.hasPrefix("HTTP/1.1 429 ") && head.contains("retry-after: "))
                #expect(body.contains("requests_per_minute"))
                #expect(try await ask("Bearer small").body.contains("tokens_per_minute"))
                // Nothing costs anything here; once it does, nothing is left.
                #expect(try await ask("Bearer poor").head.hasPrefix("HTTP/1.1 200 "))
                // Without the other gateways' share a strict key is refused, the others go on.
                #expect(try await ask("Bearer strict").body.contains("limits_unavailable"))
                gateway.core.keys.isShared = true
                #expect(try await ask("Bearer strict").head.hasPrefix("HTTP/1.1 200 "))
                // A key that is gone is refused at once, also on a connection that used it.
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(TestGateway.request(fields: "Authorization: Bearer good\r\n"))
                    #expect(try await client.readResponse().head.hasPrefix("HTTP/1.1 200 "))
                    gateway.setKeys([key(2, "other")])
                    try await client.send(TestGateway.request(fields: "Authorization: Bearer good\r\n"))
                    #expect(try await client.readResponse().head.hasPrefix("HTTP/1.1 401 "))
                }
            }
        }
    }
}

extension String {
    /// How often a text is in it.
    fileprivate func components(of text: String) -> Int {
        ranges(of: text).count
    }
}
