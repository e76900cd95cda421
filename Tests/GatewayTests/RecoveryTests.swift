import Synchronization
import TestPeers
import Testing

@testable import Gateway

/// What one failure must not do to others.
@Suite(.timeLimit(.minutes(5))) struct RecoveryTests {
    /// The answer to the request that tries a replica again may take minutes; that it begins is enough.
    @Test func aReplicaIsBackWithTheFirstByteOfItsTrial() async throws {
        let isBroken = Mutex(true)
        let goOn = Signal()
        try await ScriptedUpstream.with { peer in
            while true {
                let (_, body) = try await peer.readRequest()
                if isBroken.withLock({ $0 }) { return }
                guard body.contains(#""stream":true"#) else {
                    try await peer.answer(TestGateway.answer)
                    continue
                }
                try await peer.beginEvents()
                try await peer.sendEvent(TestGateway.event("Hello"))
                _ = await goOn.wait()
                try await peer.sendChunk("data: [DONE]\n\n")
                try await peer.send("0\r\n\r\n")
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                while gateway.core.admission.isUsable(0) { _ = try await Self.answer(gateway) }
                isBroken.withLock { $0 = false }
                while !gateway.core.admission.isUsable(0) { try await Task.sleep(for: .milliseconds(10)) }
                try await WirePeer.connect(port: gateway.port) { first in
                    try await first.send(TestGateway.request(TestGateway.stream))
                    _ = try await first.read(until: "Hello")
                    for _ in 0..<3 {
                        let (head, body) = try await Self.answer(gateway)
                        #expect(head.hasPrefix("HTTP/1.1 200 ") && body == TestGateway.answer, "\(head)\(body)")
                    }
                    goOn.fire()
                    _ = try await first.read(until: "[DONE]")
                }
            }
        }
    }

    private static func answer(
        _ gateway: Gateway, _ body: String = TestGateway.plain, path: String = "/v1/chat/completions"
    ) async throws -> (head: String, body: String) {
        try await WirePeer.connect(port: gateway.port) { client in
            try await client.send(TestGateway.request(body, path: path))
            let (head, body) = try await client.readResponse()
            return (head, body)
        }
    }

    /// Equal requests share a call; when it is too late for one of them, whoever comes then has one of its own.
    @Test func aCallThatHangsIsNotJoinedAgain() async throws {
        let calls = Mutex(0)
        let (hung, ended) = (Signal(), Signal())
        try await ScriptedUpstream.with { peer in
            while true {
                _ = try await peer.readRequest()
                let isFirst = calls.withLock { calls in
                    calls += 1
                    return calls == 1
                }
                guard isFirst else {
                    try await peer.answer(TestGateway.answer)
                    continue
                }
                hung.fire()
                _ = try await peer.readToEnd()
                ended.fire()
                return
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) {
                $0.threads = 1
                $0.timeouts.total = .seconds(10)
            } _: { gateway in
                try await WirePeer.connect(port: gateway.port) { first in
                    try await first.send(TestGateway.request(TestGateway.deterministic))
                    _ = await hung.wait()
                    try await WirePeer.connect(port: gateway.port) { second in
                        // It joins a second later, and keeps the call for as long after the first one's end.
                        try await Task.sleep(for: .seconds(1))
                        try await second.send(TestGateway.request(TestGateway.deterministic))
                        #expect(try await first.readResponse().body.contains("first_token_timeout"))
                        let third = try await Self.answer(gateway, TestGateway.deterministic)
                        #expect(third.head.hasPrefix("HTTP/1.1 200 ") && third.body == TestGateway.answer)
                        #expect(try await second.readResponse().body.contains("first_token_timeout"))
                    }
                    _ = await ended.wait()
                }
                #expect(calls.withLock { $0 } == 2)
                #expect(gateway.core.admission.load(of: 0).inFlight == 0)
            }
        }
    }

    /// A chat model has no embeddings: that is its answer, however often it is asked, and nothing is wrong with it.
    @Test func whatAModelServerDoesNotHaveIsNoFault() async throws {
        let asked = Progress()
        try await ScriptedUpstream.with { peer in
            while true {
                let (head, _) = try await peer.readRequest()
                asked.add()
                if head.contains("/v1/embeddings") {
                    try await peer.answer(#"{"detail":"Not Found"}"#, status: "404 Not Found")
                } else {
                    try await peer.answer(TestGateway.answer)
                }
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                for number in 0..<60 {
                    let (head, body) = try await Self.answer(
                        gateway, #"{"model":"m","input":"\#(number)"}"#, path: "/v1/embeddings")
                    #expect(head.hasPrefix("HTTP/1.1 404 ") && body.contains("not_supported"), "\(number): \(body)")
                    #expect(gateway.core.admission.isUsable(0))
                }
                #expect(try await Self.answer(gateway).body == TestGateway.answer)
                // There is as much left to try again with as before.
                #expect(gateway.core.admission.mayRetry(0))
                #expect(gateway.core.admission.load(of: 0).inFlight == 0)
            }
        }
    }

    /// Both are broken and one more is not: the next try goes to that one.
    @Test func whatFailedAsTheSecondIsNotAskedAgain() async throws {
        let asked = Mutex<[Int]>([])
        let (hedged, failsFirst, failsSecond) = (Signal(), Signal(), Signal())
        func server(_ number: Int) -> @Sendable (WirePeer) async throws -> Void {
            { peer in
                while true {
                    _ = try await peer.readRequest()
                    let place = asked.withLock { asked in
                        asked.append(number)
                        return asked.count
                    }
                    switch place {
                    case 1:
                        _ = await failsFirst.wait()
                        return
                    case 2:
                        hedged.fire()
                        _ = await failsSecond.wait()
                        return
                    default: try await peer.answer(TestGateway.answer)
                    }
                }
            }
        }
        try await ScriptedUpstream.with(server(0)) { a in
            try await ScriptedUpstream.with(server(1)) { b in
                try await ScriptedUpstream.with(server(2)) { c in
                    try await TestGateway.with(upstreams: [a.port, b.port, c.port]) {
                        $0.timeouts.hedge = .milliseconds(50)
                    } _: { gateway in
                        let body = #"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":8}"#
                        try await WirePeer.connect(port: gateway.port) { client in
                            try await client.send(TestGateway.request(body))
                            _ = await hedged.wait()
                            failsFirst.fire()
                            while gateway.core.admission.load(of: 0).inFlight == 2 {
                                try await Task.sleep(for: .milliseconds(2))
                            }
                            failsSecond.fire()
                            #expect(try await client.readResponse().body == TestGateway.answer)
                        }
                        let order = asked.withLock { $0 }
                        // On a busy machine the third one may be slow as well, and another is asked beside it.
                        #expect(Set(order.prefix(3)).count == 3, "\(order)")
                        #expect(gateway.core.admission.load(of: 0).inFlight == 0)
                    }
                }
            }
        }
    }

    /// The one that is slow because it is about to fail; the other one has the request already.
    @Test(arguments: ["", "500 Internal Server Error", "503 Service Unavailable"])
    func theSecondReplicaGoesOnWhenTheFirstFails(_ status: String) async throws {
        let first = Mutex<Int?>(nil)
        let (asked, fails, answers) = (Signal(), Signal(), Signal())
        let requests = Progress()
        func server(_ number: Int) -> @Sendable (WirePeer) async throws -> Void {
            { peer in
                while true {
                    _ = try await peer.readRequest()
                    requests.add()
                    let isFirst = first.withLock { first in
                        first = first ?? number
                        return first == number
                    }
                    if isFirst {
                        _ = await fails.wait()
                        guard !status.isEmpty else { return }
                        try await peer.answer(#"{"error":{"message":"no"}}"#, status: status)
                    } else {
                        asked.fire()
                        _ = await answers.wait()
                        try await peer.answer(TestGateway.answer)
                    }
                }
            }
        }
        try await ScriptedUpstream.with(server(0)) { a in
            try await ScriptedUpstream.with(server(1)) { b in
                try await TestGateway.with(upstreams: [a.port, b.port]) {
                    $0.timeouts.hedge = .milliseconds(50)
                } _: { gateway in
                    let body = #"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":8}"#
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request(body))
                        _ = await asked.wait()
                        #expect(gateway.core.admission.load(of: 0).inFlight == 2)
                        fails.fire()
                        while gateway.core.admission.load(of: 0).inFlight == 2 {
                            try await Task.sleep(for: .milliseconds(2))
                        }
                        answers.fire()
                        #expect(try await client.readResponse().body == TestGateway.answer)
                    }
                    #expect(requests.count == 2)
                    #expect(gateway.core.admission.load(of: 0).inFlight == 0)
                }
            }
        }
    }
}
