import NIOCore
import TestPeers
import Testing

@testable import Gateway

/// Streams that an event loop reads together.
@Suite(.timeLimit(.minutes(5))) struct StreamReaderTests {
    enum Trap: CaseIterable, Sendable {
        case clientGoesBetweenChunks
        case clientGoesAtTheLastChunk
        case slowReader
        case manySlowReaders
        case slowReaderWithoutEnd
        case readerThatTakesNothing
        case clientGoesWithoutHavingRead
        case modelServerDiesBetweenEvents
        case modelServerDiesInAnEvent
        case answerIsCut
        case silence
        case streamsOfOneKey
        case streamsOfOneKeyThatBreak
    }

    /// As where each is read by itself, from the first one on.
    @Test(arguments: Trap.allCases) func trapsAreTheSame(_ trap: Trap) async throws {
        try await TestGateway.$readsTogether.withValue(0) {
            switch trap {
            case .clientGoesBetweenChunks:
                try await FaultTests().aClientThatGoesEndsItsRequestAtOnce(.betweenChunks)
            case .clientGoesAtTheLastChunk:
                try await FaultTests().aClientThatGoesEndsItsRequestAtOnce(.atTheLastChunk)
            case .slowReader: try await FaultTests().aSlowReaderHoldsBackItsOwnStreamOnly()
            case .manySlowReaders: try await StreamTests().manySlowReadersOfSmallPiecesGetAllInOrder()
            case .slowReaderWithoutEnd: try await StreamTests().aSlowReaderHasNoMoreTimeThanOthers()
            case .readerThatTakesNothing: try await FaultTests().whoTakesNothingOfAStreamLosesIt()
            case .clientGoesWithoutHavingRead:
                try await StreamTests().aClientThatGoesWithoutHavingReadEndsItsRequest()
            case .modelServerDiesBetweenEvents:
                try await FaultTests().aModelServerThatDiesInItsStreamIsToldByAnEvent("")
            case .modelServerDiesInAnEvent:
                try await FaultTests().aModelServerThatDiesInItsStreamIsToldByAnEvent(
                    "18\r\ndata: {\"id\":\"1\",\"choices\r\n")
            case .answerIsCut:
                try await FaultTests().anAnswerThatIsCutIsNoWholeAnswer(
                    "transfer-encoding: chunked\r\n\r\n8\r\n")
            case .silence: try await FaultTests().silenceIsBounded()
            case .streamsOfOneKey: try await StreamTests().aKeysRequestRunsUntilItsStreamHasEnded(.whole)
            case .streamsOfOneKeyThatBreak:
                try await StreamTests().aKeysRequestRunsUntilItsStreamHasEnded(.modelServerDies)
            }
        }
    }

    /// More at the same time than are read apart, and than are asked for at a time, twice on the same connections, and
    /// something short in between.
    @Test func manyStreamsAreWholeAndTheirConnectionsUsedAgain() async throws {
        let streams = max(GatewayLimits().readsTogether, StreamReader.namedAtOnce) + 72
        let pieces = 30
        let connections = Progress()
        let begun = Progress()
        try await ScriptedUpstream.with { peer in
            connections.add()
            while true {
                let (_, body) = try await peer.readRequest()
                guard body.contains(#""stream":true"#) else {
                    try await peer.answer(TestGateway.answer)
                    continue
                }
                let name = String(body.split(separator: "stream-")[1].prefix { $0 != "\"" })
                try await peer.beginEvents()
                begun.add()
                // None ends before all have begun.
                while begun.count % streams != 0 { try await Task.sleep(for: .milliseconds(5)) }
                try await Self.send(pieces, of: name, to: peer)
                try await peer.send("0\r\n\r\n")
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: streams) {
                $0.threads = 1
                // Kept from one round to the next, however slow the machine is.
                $0.timeouts.upstreamIdle = .seconds(60)
            } _: { gateway in
                for _ in 0..<2 {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for stream in 0..<streams {
                            group.addTask {
                                let text = try await Self.stream("stream-\(stream)", gateway)
                                #expect(Self.numbers(of: "\(stream)", in: text) == (0..<pieces).map { "\($0)" })
                            }
                        }
                        try await group.waitForAll()
                    }
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request())
                        #expect(try await client.readResponse().body == TestGateway.answer)
                    }
                }
                #expect(connections.count == streams)
            }
        }
    }

    /// Also while there is always more of them than the loop can read.
    @Test func streamsWithoutAPauseLeaveTheLoopToOthers() async throws {
        let streams = 2 * StreamReader.namedAtOnce
        let begun = Progress()
        let asked = Progress()
        let answered = Progress()
        let tooLate = Progress()
        let words = String(repeating: "word ", count: 200)
        let events = String(repeating: Self.chunk("data: \(TestGateway.event(words))\n\n"), count: 20)
        try await ScriptedUpstream.with { peer in
            let (_, body) = try await peer.readRequest()
            guard body.contains(#""stream":true"#) else { return try await peer.answer(TestGateway.answer) }
            try await peer.beginEvents()
            begun.add()
            var end: ContinuousClock.Instant?
            while answered.count == 0 {
                try await peer.sendThrough(events)
                if end == nil, asked.count > 0 { end = .now + .seconds(60) }
                if let end, .now > end {
                    tooLate.add()
                    break
                }
            }
            try await peer.send("0\r\n\r\n")
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: streams + 1) {
                $0.threads = 1
                $0.limits.readsTogether = 0
            } _: { gateway in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<streams {
                        group.addTask {
                            try await WirePeer.connect(port: gateway.port) { client in
                                try await client.send(
                                    TestGateway.request(TestGateway.stream, fields: "Connection: close\r\n"))
                                let (count, last) = try await client.lastToEnd(7)
                                #expect(count > events.utf8.count && last == "\r\n0\r\n\r\n")
                            }
                        }
                    }
                    group.addTask {
                        while begun.count < streams { try await Task.sleep(for: .milliseconds(5)) }
                        try await WirePeer.connect(port: gateway.port) { client in
                            asked.add()
                            try await client.send(TestGateway.request())
                            #expect(try await client.readResponse().body == TestGateway.answer)
                            answered.add()
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(tooLate.count == 0)
            }
        }
    }

    /// Those that go on when most have ended are read apart again, and are whole.
    @Test func streamsThatAreLeftGoOn() async throws {
        let streams = 8
        let together = Progress()
        let apart = Progress()
        try await ScriptedUpstream.with { peer in
            let (_, body) = try await peer.readRequest()
            try await peer.beginEvents()
            let isLast = body.contains("the last")
            while (isLast ? apart : together).count == 0 {
                try await peer.sendEvent(TestGateway.event("before"))
                try await Task.sleep(for: .milliseconds(5))
            }
            if isLast { try await Self.send(50, of: "after", to: peer) }
            try await peer.send("0\r\n\r\n")
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: streams) {
                $0.threads = 1
                $0.limits.readsTogether = 4
            } _: { gateway in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for stream in 0..<streams {
                        group.addTask {
                            let isLast = stream == 0
                            let text = try await Self.stream(isLast ? "the last" : "another", gateway)
                            #expect(Self.numbers(of: "after", in: text) == (0..<(isLast ? 50 : 0)).map { "\($0)" })
                        }
                    }
                    group.addTask {
                        while try await gateway.streams != (streams, streams) {
                            try await Task.sleep(for: .milliseconds(5))
                        }
                        together.add()
                        while try await gateway.streams != (1, 0) { try await Task.sleep(for: .milliseconds(5)) }
                        apart.add()
                    }
                    try await group.waitForAll()
                }
                #expect(try await gateway.streams == (0, 0))
            }
        }
    }

    /// Numbered pieces, soon after one another.
    private static func send(_ pieces: Int, of name: String, to peer: WirePeer) async throws {
        for number in 0..<pieces {
            try await peer.sendEvent(TestGateway.event("\(name)-\(number)"))
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Their numbers in an answer, as they came.
    private static func numbers(of name: String, in text: String) -> [String] {
        text.ranges(of: "\"content\":\"\(name)-").map { String(text[$0.upperBound...].prefix { $0.isNumber }) }
    }

    /// A streamed answer, to its end.
    private static func stream(_ question: String, _ gateway: Gateway) async throws -> String {
        let body = #"{"model":"m","stream":true,"messages":[{"role":"user","content":"\#(question)"}]}"#
        return try await WirePeer.connect(port: gateway.port) { client in
            try await client.send(TestGateway.request(body))
            return try await client.read(until: "\r\n0\r\n\r\n")
        }
    }

    private static func chunk(_ text: String) -> String {
        String(text.utf8.count, radix: 16) + "\r\n\(text)\r\n"
    }
}
