import Telemetry
import TestPeers
import Testing

@testable import Gateway

/// What a gateway counts of the requests it had.
@Suite(.timeLimit(.minutes(2))) struct MetricsTests {
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
