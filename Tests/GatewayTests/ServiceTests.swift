import NIOCore
import Synchronization
import TestPeers
import Testing

@testable import Gateway

/// Requests that a service answers, on real sockets.
@Suite(.timeLimit(.minutes(4))) struct ServiceTests {
    /// Reads the body and counts it; tells when it could not read it to its end.
    private struct Counting: GatewayService {
        let broken = Signal()
        let sent = Progress()
        /// Waits before it reads.
        var waits: Signal?
        /// Between the body's last byte and the answer.
        var pauses = Duration.zero
        /// Bytes of the answer; a count in JSON without.
        var answer: Int?

        func answer(_ request: ServiceRequest) async throws -> ServiceAnswer {
            do {
                _ = await waits?.wait()
                var count = 0
                while let piece = try await request.body.nextPiece() { count += piece.count }
                try await Task.sleep(for: pauses)
                if let answer {
                    let pieces = (0..<answer / 1_000).map { _ in [UInt8](repeating: 7, count: 1_000) }
                    return ServiceAnswer(
                        .bytes(length: Int64(answer), Pieces(pieces: pieces, sent: sent, broken: broken)))
                }
                return ServiceAnswer(.json("{\"count\":\(count)}"))
            } catch {
                broken.fire()
                throw error
            }
        }
    }

    private struct Pieces: AsyncSequence, Sendable {
        typealias Element = [UInt8]
        let pieces: [[UInt8]]
        let sent: Progress
        let broken: Signal

        func makeAsyncIterator() -> Iterator { Iterator(rest: pieces[...], sent: sent, end: End(broken: broken)) }

        /// Tells that nobody reads any more.
        final class End: Sendable {
            private let broken: Signal
            init(broken: Signal) { self.broken = broken }
            deinit { broken.fire() }
        }

        struct Iterator: AsyncIteratorProtocol {
            var rest: ArraySlice<[UInt8]>
            let sent: Progress
            let end: End

            mutating func next() async throws -> [UInt8]? {
                sent.add()
                return rest.popFirst()
            }
        }
    }

    private static func with(
        _ service: Counting, limit: Int = 1 << 20, _ body: (Gateway) async throws -> Void
    ) async throws {
        try await TestGateway.with(upstreams: []) {
            $0.limits.upload = limit
        } _: { gateway in
            gateway.serve(service)
            try await body(gateway)
        }
    }

    private static func head(_ fields: String) -> String { "POST /v1/files HTTP/1.1\r\nhost: h\r\n\(fields)\r\n" }

    /// More than is kept at a time, in all sizes of pieces, while the service is slow; then the connection goes on.
    @Test func bodiesOfAllSizesArrive() async throws {
        let goOn = Signal()
        try await Self.with(Counting(waits: goOn), limit: 4 << 20) { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                for size in [0, 1, 300_000, 2_000_000] {
                    goOn.fire()
                    let body = String(repeating: "x", count: size)
                    try await client.send(Self.head("content-length: \(size)\r\n") + body)
                    #expect(try await client.readResponse().body == "{\"count\":\(size)}")
                }
                // Many small chunks at once: more than one of them is beyond what is kept.
                try await client.send(Self.head("transfer-encoding: chunked\r\n"))
                for _ in 0..<40 {
                    let chunk = "2710\r\n" + String(repeating: "y", count: 10_000) + "\r\n"
                    try await client.send(chunk + chunk + chunk)
                }
                goOn.fire()
                try await client.send("0\r\n\r\n")
                #expect(try await client.readResponse().body == "{\"count\":1200000}")
            }
        }
    }

    @Test(arguments: ["zz\r\n", "200001\r\n" + String(repeating: "x", count: 0x200001)])
    func aServiceIsToldOfABodyThatIsNone(chunk: String) async throws {
        let service = Counting()
        try await Self.with(service) { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                try await client.send(Self.head("transfer-encoding: chunked\r\n") + "3\r\nabc\r\n")
                _ = try? await client.send(chunk)
                let head = try await client.read(until: "\r\n\r\n")
                #expect(head.hasPrefix("HTTP/1.1 4") && head.contains("connection: close"))
            }
            _ = await service.broken.wait()
        }
    }

    /// Answers at once, whatever comes of the body.
    private struct Hasty: GatewayService {
        let goOn: Signal

        func answer(_ request: ServiceRequest) async throws -> ServiceAnswer {
            let (pieces, more) = AsyncThrowingStream.makeStream(of: [UInt8].self)
            more.yield(Array("abc".utf8))
            // Unstructured: until the test says so.
            Task {
                _ = await goOn.wait()
                more.yield(Array("def".utf8))
                more.finish()
            }
            return ServiceAnswer(.bytes(length: 6, pieces))
        }
    }

    /// Once an answer has begun, nothing of the request may put another one into it.
    @Test func aBodyThatIsNoneDoesNotGetIntoTheAnswer() async throws {
        let goOn = Signal()
        try await TestGateway.with(upstreams: []) { gateway in
            gateway.serve(Hasty(goOn: goOn))
            try await WirePeer.connect(port: gateway.port) { client in
                try await client.send(Self.head("transfer-encoding: chunked\r\n"))
                let head = try await client.read(until: "\r\n\r\n")
                #expect(head.contains("content-length: 6\r\n") && head.contains("connection: close\r\n"))
                try await client.send("zz\r\n")
                goOn.fire()
                #expect(try await client.readToEnd() == "abcdef")
            }
        }
    }

    /// Each byte in time, and all of them never.
    @Test func anUploadMustComeToItsEnd() async throws {
        try await TestGateway.with(upstreams: []) {
            $0.timeouts.body = .seconds(2)
            $0.timeouts.upload = .milliseconds(500)
        } _: { gateway in
            gateway.serve(Counting())
            try await WirePeer.connect(port: gateway.port) { client in
                try await client.send(Self.head("content-length: 1000000\r\n"))
                // Unstructured: until there is an answer.
                let sending = Task {
                    while true {
                        try await client.send("a")
                        try await Task.sleep(for: .milliseconds(20))
                    }
                }
                defer { sending.cancel() }
                #expect(try await client.read(until: "body_timeout").hasPrefix("HTTP/1.1 408 "))
            }
        }
    }

    /// A service takes its time for what is there as a whole.
    @Test func aWholeUploadHasNoDeadline() async throws {
        let goOn = Signal()
        try await TestGateway.with(upstreams: []) {
            $0.timeouts.body = .seconds(2)
        } _: { gateway in
            gateway.serve(Counting(waits: goOn, pauses: .seconds(3)))
            try await WirePeer.connect(port: gateway.port) { client in
                try await client.send(
                    Self.head("content-length: 300000\r\n") + String(repeating: "x", count: 300_000))
                goOn.fire()
                #expect(try await client.readResponse().body == "{\"count\":300000}")
            }
        }
    }

    @Test func aServiceIsToldOfAClientThatGoes() async throws {
        let service = Counting()
        try await Self.with(service) { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                try await client.send(Self.head("content-length: 10\r\n") + "abc")
            }
            _ = await service.broken.wait()
        }
    }

    /// A client that takes nothing, and then goes, ends the answer that it was sent.
    @Test func anAnswerEndsWithItsClient() async throws {
        let service = Counting(answer: 50_000_000)
        try await Self.with(service) { gateway in
            try await WirePeer.connect(port: gateway.port, isReading: false, receiveBuffer: 65_536) { client in
                try await client.send(Self.head("content-length: 0\r\n"))
                await service.sent.waitUntilItStands()
                #expect(service.sent.count < 25_000)
                await client.close()
            }
            _ = await service.broken.wait()
        }
    }
}
