import Crypto
import NIOCore
import Pipeline
import TestPeers
import Testing

@testable import Gateway

/// Streams whose clients take their time.
@Suite(.timeLimit(.minutes(5))) struct StreamTests {
    /// Small pieces go past the channel as long as the socket takes them, behind it when it does not, and past it again:
    /// each client gets its own, all of it, in order.
    @Test func manySlowReadersOfSmallPiecesGetAllInOrder() async throws {
        let streams = 12
        let total = 5_000
        let sent = Progress()
        @Sendable func event(_ number: Int, of stream: String) -> String {
            "data: \(TestGateway.event("\(stream)-\(number)-" + String(repeating: "x", count: 200)))\n\n"
        }
        try await ScriptedUpstream.with { peer in
            let (_, body) = try await peer.readRequest()
            let name = String(body.split(separator: "stream-")[1].prefix { $0 != "\"" })
            try await peer.beginEvents()
            for number in 0..<total {
                let event = event(number, of: name)
                try await peer.sendThrough("\(String(event.utf8.count, radix: 16))\r\n\(event)\r\n")
                sent.add()
            }
            try await peer.send("0\r\n\r\n")
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: streams) {
                // More than few on one loop.
                $0.threads = 1
            } _: { gateway in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for stream in 0..<streams {
                        group.addTask {
                            let name = "\(stream)"
                            let body =
                                #"{"model":"m","stream":true,"messages":[{"role":"user","content":"stream-\#(name)"}]}"#
                            try await WirePeer.connect(port: gateway.port, isReading: false, receiveBuffer: 32_768) {
                                client in
                                try await client.send(TestGateway.request(body))
                                // Half of them read from the start, the others not before all stand still.
                                if stream % 2 == 1 { await sent.waitUntilItStands() }
                                await client.setReading(true)
                                _ = try await client.read(until: "\r\n\r\n")
                                var got = ""
                                while true {
                                    let size = try await client.read(until: "\r\n").dropLast(1)
                                    let length = try #require(Int(size, radix: 16))
                                    let chunk = try await client.read(count: length + 2)
                                    guard length > 0 else { break }
                                    got += String(buffer: chunk).dropLast(1)
                                }
                                #expect(got == (0..<total).map { event($0, of: name) }.joined())
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    /// One who takes a little now and then keeps a replica's place no longer than an answer may take.
    @Test func aSlowReaderHasNoMoreTimeThanOthers() async throws {
        let piece = TestGateway.event(String(repeating: "x", count: 60_000))
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.beginEvents()
            // For ever: only the gateway can end it.
            while (try? await peer.sendEvent(piece)) != nil {}
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) {
                $0.timeouts.total = .seconds(2)
                $0.timeouts.stalledClient = .seconds(60)
            } _: { gateway in
                try await WirePeer.connect(port: gateway.port, isReading: false, receiveBuffer: 65_536) { client in
                    try await client.send(TestGateway.request(TestGateway.stream))
                    while (try? await client.readSlowly(count: 65_536)) != nil {
                        try await Task.sleep(for: .milliseconds(100))
                    }
                }
                while gateway.core.admission.load(of: 0).inFlight > 0 { try await Task.sleep(for: .milliseconds(5)) }
            }
        }
    }

    /// What it has not taken keeps nothing going.
    @Test func aClientThatGoesWithoutHavingReadEndsItsRequest() async throws {
        let sent = Progress()
        let ended = Signal()
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.beginEvents()
            let event = "data: \(TestGateway.event(String(repeating: "x", count: 60_000)))\n\n"
            let chunk = "\(String(event.utf8.count, radix: 16))\r\n\(event)\r\n"
            while (try? await peer.sendThrough(chunk)) != nil { sent.add() }
            ended.fire()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port, isReading: false, receiveBuffer: 65_536) { client in
                    try await client.send(TestGateway.request(TestGateway.stream))
                    await sent.waitUntilItStands()
                    await client.close()
                }
                // Sooner than any time is over.
                _ = await ended.wait()
                while gateway.core.admission.load(of: 0).inFlight > 0 { try await Task.sleep(for: .milliseconds(5)) }
            }
        }
    }

    enum End: CaseIterable, Sendable {
        case whole
        case clientGoes
        case modelServerDies
    }

    /// Of what a key may have at the same time a stream counts until it has ended, however it ends.
    @Test(arguments: End.allCases) func aKeysRequestRunsUntilItsStreamHasEnded(_ end: End) async throws {
        let goOn = Signal()
        try await ScriptedUpstream.with { peer in
            while true {
                let (_, body) = try await peer.readRequest()
                guard body.contains(#""stream":true"#) else {
                    try await peer.answer(TestGateway.answer)
                    continue
                }
                try await peer.beginEvents()
                try await peer.sendEvent(TestGateway.event("Hello"))
                switch end {
                case .whole:
                    _ = await goOn.wait()
                    try await peer.send("0\r\n\r\n")
                case .clientGoes: _ = try await peer.readToEnd()
                case .modelServerDies:
                    _ = await goOn.wait()
                    await peer.close()
                }
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], { $0.requiresKeys = true }) { gateway in
                var key = APIKey(id: 1, name: "k", team: "t", digest: Array(SHA256.hash(data: Array("secret".utf8))))
                key.limits.concurrent = 1
                gateway.setKeys([key])
                let pass = "Authorization: Bearer secret\r\n"
                @Sendable func status() async throws -> Substring {
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request(fields: pass))
                        return try await client.readResponse().head.dropFirst(9).prefix(3)
                    }
                }
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(TestGateway.request(TestGateway.stream, fields: pass))
                    _ = try await client.read(until: "Hello")
                    #expect(try await status() == "429")
                    if end == .clientGoes { await client.close() } else { goOn.fire() }
                    if end != .clientGoes { _ = try await client.read(until: "\r\n0\r\n\r\n") }
                }
                if end == .clientGoes {
                    while gateway.core.admission.load(of: 0).inFlight > 0 {
                        try await Task.sleep(for: .milliseconds(2))
                    }
                }
                #expect(try await status() == "200")
            }
        }
    }

    /// What a model server says beyond its answer belongs to nobody.
    @Test func bytesBehindAnAnswerReachNobody() async throws {
        let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
        let body = TestGateway.answer
        let connections = Progress()
        try await ScriptedUpstream.with { peer in
            connections.add()
            while true {
                _ = try await peer.readRequest()
                try await peer.send("HTTP/1.1 200 OK\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)\(evil)")
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    for index in 1...3 {
                        try await client.send(TestGateway.request(#"{"model":"m","prompt":"\#(index)"}"#))
                        #expect(try await client.readResponse().body == body)
                        // A connection on which more came is not used again.
                        #expect(connections.count == index)
                    }
                }
            }
        }
    }
}
