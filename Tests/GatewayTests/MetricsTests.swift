import Telemetry
import TestPeers
import Testing

@testable import Gateway

/// What a gateway counts of the requests it had.
@Suite(.timeLimit(.minutes(5))) struct MetricsTests {
    /// Of the whole process: metrics are. Each test has a version of its own.
    private static let registry = Telemetry.bootstrapMetrics()

    /// The requests of a version, by how they ended.
    private static func outcomes(_ version: String) -> [String: Int] {
        var counts: [String: Int] = [:]
        for line in registry.exposition().split(separator: "\n")
        where line.hasPrefix("martlet_gateway_requests_total{") && line.contains(#"version="\#(version)""#) {
            let outcome = line.split(separator: #"outcome=""#).last?.prefix { $0 != "\"" } ?? ""
            let count = line.split(separator: " ").last.flatMap { Double($0) } ?? .nan
            if count != 0 { counts[String(outcome), default: 0] += Int(count) }
        }
        return counts
    }

    private static func withGateway(
        _ version: String, port: Int, _ body: (Gateway, _ batch: String) async throws -> Void
    ) async throws {
        _ = registry
        try await TestGateway.with(upstreams: []) {
            $0.timeouts.queue = .milliseconds(300)
        } _: { gateway in
            gateway.route([
                ReplicaConfiguration(
                    model: "m", version: version, host: "127.0.0.1", port: port, servedName: "m-1", maximumInFlight: 1)
            ])
            try await body(gateway, "Authorization: \(gateway.batchAuthorization(key: 0))\r\n")
        }
    }

    /// A batch asks again for what it found no place for in time: nobody was failed.
    @Test func onlyAPersonsRequestFailsForLackOfRoom() async throws {
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readToEnd()
        } _: { upstream in
            try await Self.withGateway("without-room", port: upstream.port) { gateway, batch in
                try await WirePeer.connect(port: gateway.port) { first in
                    try await first.send(TestGateway.request())
                    while gateway.core.admission.load(of: 0).inFlight == 0 {
                        try await Task.sleep(for: .milliseconds(5))
                    }
                    for (fields, failed) in [(batch, [:]), ("", ["server_error": 1])] {
                        try await WirePeer.connect(port: gateway.port) { second in
                            try await second.send(TestGateway.request(fields: fields))
                            let (head, body) = try await second.readResponse()
                            #expect(head.hasPrefix("HTTP/1.1 503 ") && body.contains(#""code":"queue_timeout""#))
                        }
                        #expect(Self.outcomes("without-room") == failed)
                    }
                }
                // The client of the first one has gone.
                while Self.outcomes("without-room")["cancelled"] == nil { try await Task.sleep(for: .milliseconds(5)) }
                #expect(Self.outcomes("without-room") == ["server_error": 1, "cancelled": 1])
            }
        }
    }

    /// The tokens of a version, prompt and answer.
    private static func tokens(_ version: String) -> [Int] {
        ["prompt", "completion"].map { kind in
            registry.exposition().split(separator: "\n").filter {
                $0.hasPrefix("martlet_gateway_tokens_total{") && $0.contains(#"version="\#(version)""#)
                    && $0.contains(#"kind="\#(kind)""#)
            }.reduce(0) { $0 + ($1.split(separator: " ").last.flatMap { Double($0) }.map { Int($0) } ?? 0) }
        }
    }

    /// What vLLM says of the prompt's tokens stands behind the answer's use of them, and may be long.
    @Test(arguments: [0, 10_000, 100_000, 400_000], [0, 1]) func useIsFoundWhereverItStands(
        behind: Int, temperature: Int
    )
        async throws
    {
        let version = "use-\(behind)-\(temperature)"
        let body =
            #"{"id":"1","choices":[{"message":{"content":"Hello"},"finish_reason":"length"}],"usage":{"prompt_tokens":31,"#
            + #""completion_tokens":17},"prompt_logprobs":[\#(String(repeating: "null,", count: behind / 5))null]}"#
        try await ScriptedUpstream.with { peer in
            while true {
                _ = try await peer.readRequest()
                try await peer.answer(body)
            }
        } _: { upstream in
            try await Self.withGateway(version, port: upstream.port) { gateway, _ in
                try await WirePeer.connect(port: gateway.port) { client in
                    let asked =
                        #"{"model":"m","temperature":\#(temperature),"messages":[{"role":"user","content":"hi"}]}"#
                    try await client.send(TestGateway.request(asked))
                    #expect(try await client.readResponse().body == body)
                }
                while Self.outcomes(version).isEmpty { try await Task.sleep(for: .milliseconds(2)) }
                #expect(Self.tokens(version) == [31, 17])
            }
        }
    }

    /// The model server has worked on it, and said nothing yet.
    @Test(arguments: [0, 1]) func whatAClientLeavesBehindIsCounted(temperature: Int) async throws {
        let version = "left-\(temperature)"
        let asked = Signal()
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            asked.fire()
            _ = try await peer.readToEnd()
        } _: { upstream in
            try await Self.withGateway(version, port: upstream.port) { gateway, _ in
                try await WirePeer.connect(port: gateway.port) { client in
                    let text = String(repeating: "word ", count: 80)
                    try await client.send(
                        TestGateway.request(
                            #"{"model":"m","temperature":\#(temperature),"messages":[{"role":"user","content":"\#(text)"}]}"#
                        ))
                    _ = await asked.wait()
                    await client.close()
                }
                while Self.outcomes(version).isEmpty { try await Task.sleep(for: .milliseconds(2)) }
                let tokens = Self.tokens(version)
                #expect(
                    Self.outcomes(version) == ["cancelled": 1] && (90...110).contains(tokens[0]) && tokens[1] == 0,
                    "\(tokens)")
            }
        }
    }

    @Test(arguments: [false, true]) func everyOtherEndCounts(ofABatch isBatch: Bool) async throws {
        let version = "ends-\(isBatch)"
        try await ScriptedUpstream.with { peer in
            while true {
                let (_, body) = try await peer.readRequest()
                for status in [400, 500] where body.contains("\(status)") {
                    try await peer.answer(#"{"error":{"message":"no"}}"#, status: "\(status) No")
                }
                if body.contains("closed") { return }
                if body.contains("hi") { try await peer.answer(TestGateway.answer) }
            }
        } _: { upstream in
            try await Self.withGateway(version, port: upstream.port) { gateway, batch in
                try await WirePeer.connect(port: gateway.port) { client in
                    // After the last one no model server is left to ask again: that is no lack of room.
                    for (content, status) in [("hi", 200), ("hi", 200), ("400", 400), ("500", 500), ("closed", 503)] {
                        let body = #"{"model":"m","messages":[{"role":"user","content":"\#(content)"}]}"#
                        try await client.send(TestGateway.request(body, fields: isBatch ? batch : ""))
                        let (head, answer) = try await client.readResponse()
                        #expect(head.hasPrefix("HTTP/1.1 \(status) "), "\(content): \(head) \(answer)")
                    }
                }
                #expect(Self.outcomes(version) == ["ok": 2, "client_error": 1, "server_error": 2])
            }
        }
    }
}
