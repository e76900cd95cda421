import NIOCore
import Pipeline
import Synchronization
import TestPeers
import Testing

@testable import Gateway

/// Requests that become one call, on real sockets.
@Suite(.timeLimit(.minutes(5))) struct JointCallTests {
    /// A model server with one place that answers completions as vLLM does: what it was asked, and the tokens.
    private final class Server: Sendable {
        /// The prompts of each call.
        let calls = Mutex<[[String]]>([])
        let held = Signal()
        let goOn = Signal()
        /// Status 400 where a prompt is this one.
        let refused: String?
        let tellsTokens: Bool

        init(refused: String? = nil, tellsTokens: Bool = true) {
            self.refused = refused
            self.tellsTokens = tellsTokens
        }

        var all: [[String]] { calls.withLock { $0 } }

        @Sendable func serve(_ peer: WirePeer) async throws {
            while true {
                let (_, body) = try await peer.readRequest()
                let request = try JSONValue(json: Array(body.utf8))
                let prompts: [String]
                switch request["prompt"] {
                case .string(let prompt)?: prompts = [prompt]
                case .array(let list)?: prompts = list.compactMap(\.stringValue)
                default: prompts = [request["messages"]?.canonicalJSON ?? ""]
                }
                calls.withLock { $0.append(prompts) }
                if prompts.first == "hold" {
                    held.fire()
                    _ = await goOn.wait()
                }
                if let refused, prompts.contains(refused) {
                    try await peer.answer(
                        #"{"error":{"message":"too long"}}"#, status: "400 Bad Request")
                    continue
                }
                let isCounted = tellsTokens && request["return_token_ids"] == .bool(true)
                let choices = prompts.enumerated().map { index, prompt in
                    let tokens = isCounted ? #","token_ids":[1,2],"prompt_token_ids":[1,2,3]"# : ""
                    return #"{"index":\#(index),"text":"re: \#(prompt)"\#(tokens),"finish_reason":"stop"}"#
                }
                try await peer.answer(
                    #"{"id":"c","choices":[\#(choices.joined(separator: ","))],"usage":{"prompt_tokens":"#
                        + #"\#(3 * prompts.count),"completion_tokens":\#(2 * prompts.count)}}"#)
            }
        }
    }

    private static func body(_ prompt: String, _ rest: String = "") -> String {
        #"{"model":"m","prompt":"\#(prompt)","max_tokens":4\#(rest)}"#
    }

    /// Sends requests while the only place is taken, then frees it; the answers in the order of the requests.
    private static func answers(
        _ bodies: [String], server: Server, mode: CoalescingMode = .on,
        _ change: @escaping @Sendable (inout GatewayConfiguration) -> Void = { _ in },
        whileWaiting: @escaping @Sendable (Gateway) async throws -> Void = { _ in }
    ) async throws -> [(status: Int, body: JSONValue)] {
        try await ScriptedUpstream.with(server.serve) { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: 1) {
                $0.threads = 1
                $0.coalescing = mode
                change(&$0)
            } _: { gateway in
                try await withThrowingTaskGroup(of: (Int, Int, JSONValue).self) { group in
                    group.addTask { try await ask(gateway, body("hold"), -1) }
                    _ = await server.held.wait()
                    for (index, body) in bodies.enumerated() {
                        group.addTask { try await ask(gateway, body, index) }
                        // In their order.
                        while gateway.core.admission.load(of: 0).waiting < index + 1 {
                            try await Task.sleep(for: .milliseconds(2))
                        }
                    }
                    try await whileWaiting(gateway)
                    server.goOn.fire()
                    var answers = [(status: Int, body: JSONValue)](repeating: (0, .null), count: bodies.count)
                    for try await (index, status, body) in group where index >= 0 { answers[index] = (status, body) }
                    // Nothing is held that nobody has.
                    #expect(gateway.core.admission.load(of: 0).inFlight == 0)
                    return answers
                }
            }
        }
    }

    private static func ask(_ gateway: Gateway, _ body: String, _ index: Int) async throws -> (Int, Int, JSONValue) {
        try await WirePeer.connect(port: gateway.port) { client in
            try await client.send(TestGateway.request(body, path: "/v1/completions"))
            let (head, answer) = try await client.readResponse()
            return (index, Int(head.split(separator: " ")[1]) ?? 0, try JSONValue(json: Array(answer.utf8)))
        }
    }

    @Test func thoseThatWaitBecomeOneCall() async throws {
        let server = Server()
        let names = (0..<5).map { "p\($0)" }
        let answers = try await Self.answers(
            names.map { Self.body($0) } + [Self.body("other", #","n":1"#)], server: server)
        #expect(server.all == [["hold"], names, ["other"]])
        for (name, answer) in zip(names, answers) {
            #expect(answer.status == 200)
            let choices = answer.body["choices"]?.arrayValue ?? []
            #expect(choices.count == 1 && choices.first?["text"]?.stringValue == "re: \(name)")
            #expect(choices.first?["index"] == .int(0) && choices.first?["token_ids"] == nil)
            #expect(answer.body["usage"]?["prompt_tokens"] == .int(3))
            #expect(answer.body["usage"]?["completion_tokens"] == .int(2))
        }
        #expect(Set(answers.compactMap { $0.body["id"]?.stringValue }).count == 6)
    }

    @Test func anErrorIsToldToWhomItConcerns() async throws {
        let server = Server(refused: "bad")
        let answers = try await Self.answers(["a", "bad", "b"].map { Self.body($0) }, server: server)
        #expect(answers.map(\.status) == [200, 400, 200])
        #expect(answers[1].body["error"]?["message"] == "too long")
        #expect(answers[2].body["choices"]?.arrayValue?.first?["text"] == "re: b")
        #expect(server.all.count == 5)
    }

    @Test func whoCannotBeCountedIsAskedAlone() async throws {
        let server = Server(tellsTokens: false)
        let answers = try await Self.answers(["a", "b", "c"].map { Self.body($0) }, server: server)
        #expect(
            answers.map { $0.body["choices"]?.arrayValue?.first?["text"]?.stringValue } == ["re: a", "re: b", "re: c"])
        #expect(answers.allSatisfy { $0.body["usage"]?["completion_tokens"] == .int(2) })
        #expect(server.all == [["hold"], ["a", "b", "c"], ["a"], ["b"], ["c"]])
    }

    @Test func nothingIsJoinedWhereItIsOff() async throws {
        let server = Server()
        _ = try await Self.answers(["a", "b"].map { Self.body($0) }, server: server, mode: .off)
        #expect(server.all == [["hold"], ["a"], ["b"]])
    }

    @Test func equalQuestionsAreAskedOnce() async throws {
        let server = Server()
        let greedy = #","temperature":0"#
        let answers = try await Self.answers(
            [Self.body("a", greedy), Self.body("a", greedy), Self.body("b", greedy), Self.body("a", greedy)],
            server: server, mode: .off)
        #expect(server.all == [["hold"], ["a"], ["b"]])
        #expect(
            answers.map { $0.body["choices"]?.arrayValue?.first?["text"]?.stringValue } == [
                "re: a", "re: a", "re: b", "re: a",
            ])
    }

    /// One who goes takes nobody with it; when all have gone the call ends too.
    @Test(arguments: [true, false]) func whoGoesHurtsNobody(staysOne: Bool) async throws {
        let (held, release, asked, goOn, ended) = (Signal(), Signal(), Signal(), Signal(), Signal())
        try await ScriptedUpstream.with { peer in
            while true {
                let (_, body) = try await peer.readRequest()
                if body.contains("hold") {
                    held.fire()
                    _ = await release.wait()
                    try await peer.answer(TestGateway.answer)
                    continue
                }
                asked.fire()
                if staysOne {
                    _ = await goOn.wait()
                    try await peer.answer(TestGateway.answer)
                }
                _ = try await peer.readToEnd()
                ended.fire()
                return
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: 1) {
                $0.threads = 1
            } _: { gateway in
                let request = TestGateway.request(Self.body("a", #","temperature":0"#), path: "/v1/completions")
                try await WirePeer.connect(port: gateway.port) { holding in
                    try await holding.send(TestGateway.request(Self.body("hold"), path: "/v1/completions"))
                    _ = await held.wait()
                    try await WirePeer.connect(port: gateway.port) { second in
                        try await WirePeer.connect(port: gateway.port) { first in
                            try await first.send(request)
                            try await second.send(request)
                            // Both wait: whoever gets the place shares it with the other.
                            while gateway.core.admission.load(of: 0).waiting < 2 {
                                try await Task.sleep(for: .milliseconds(2))
                            }
                            release.fire()
                            _ = try await holding.readResponse()
                            _ = await asked.wait()
                            await first.close()
                        }
                        if staysOne {
                            goOn.fire()
                            #expect(try await second.readResponse().body == TestGateway.answer)
                        } else {
                            await second.close()
                            _ = await ended.wait()
                        }
                    }
                }
                while gateway.core.admission.load(of: 0).inFlight > 0 { try await Task.sleep(for: .milliseconds(5)) }
            }
        }
    }

    @Test func anAnswerThatIsKeptTakesNothing() async throws {
        let server = Server()
        try await ScriptedUpstream.with(server.serve) { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) {
                $0.limits.answerCache = 1 << 20
            } _: { gateway in
                let body = Self.body("a", #","temperature":0"#)
                for round in 0..<3 {
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request(body, path: "/v1/completions"))
                        let (head, answer) = try await client.readResponse()
                        #expect(head.contains("x-martlet-cache: hit") == (round > 0))
                        #expect(answer.contains("re: a"))
                    }
                }
                #expect(server.all == [["a"]])
                _ = try await Self.ask(gateway, Self.body("a"), 0)
                #expect(server.all.count == 2)
            }
        }
    }
}
