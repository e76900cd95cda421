import Crypto
import Foundation
import Pipeline
import Testing

extension FleetTests {
    /// A receiver that fails is shown as failed; it never changes what became of the run.
    @Suite(.timeLimit(.minutes(3))) struct NotificationTests {
        private static let secret = "a-secret-of-this-test"
        private static let pipelines = [
            "told": """
            name: told
            stages:
              - {name: work, kind: noop}
              - name: notify
                needs: [work]
                when: always
                retries: {attempts: 3, initial_delay: 200ms, max_delay: 1s}
            """
        ]

        private func withReceiver<Value: Sendable>(
            status: Int, allowed: Bool = true, _ body: (Fleet, Receiver) async throws -> Value
        ) async throws -> Value {
            let script = try #require(Bundle.module.url(forResource: "Programs/receiver.py", withExtension: nil)).path
            let receiver = try await Receiver.start(status: status, script: script)
            defer { receiver.stop() }
            let configuration = """
                notify:
                  webhooks:
                    - {name: test, url: "http://127.0.0.1:\(receiver.port)/hook"}
                  allow_addresses: \(allowed ? "[127.0.0.1]" : "[]")
                """
            return try await Fleet.run(
                pipelines: Self.pipelines, workers: ["noop", "notify"], configuration: configuration,
                secrets: ["MARTLET_NOTIFY_WEBHOOK_TEST_SECRET": Self.secret]
            ) { try await body($0, receiver) }
        }

        @Test func aReceiverIsToldOnceWithASignature() async throws {
            try await withReceiver(status: 200) { fleet, receiver in
                let run = try await fleet.publish("told")
                #expect(try await fleet.end(of: run).state == "succeeded")
                let message = try #require(receiver.messages.first)
                #expect(receiver.messages.count == 1)
                #expect(message.headers["idempotency-key"]?.contains(run) == true)
                let timestamp = try #require(message.headers["x-martlet-timestamp"])
                var code = HMAC<SHA256>(key: SymmetricKey(data: Data(Self.secret.utf8)))
                code.update(data: Data("\(timestamp).\(message.body)".utf8))
                let digest = code.finalize().map { String(format: "%02x", $0) }.joined()
                #expect(message.headers["x-martlet-signature"] == "v1=" + digest)
                let body = try JSONDecoder().decode(JSONValue.self, from: Data(message.body.utf8))
                #expect(body["run"]?.stringValue == run && body["outcome"]?.stringValue == "succeeded")
            }
        }

        @Test func aReceiverThatFailsIsTriedAgainAndThenShown() async throws {
            try await withReceiver(status: 503) { fleet, receiver in
                let shown = try await fleet.end(of: try await fleet.publish("told"))
                #expect(shown.state == "succeeded")
                let notify = try shown.task("notify")
                #expect(notify.state == "dead" && notify.attempt == 3)
                #expect(notify.failure?.code == "notify.refused" && notify.failure?.message.contains("503") == true)
                // Each of three attempts may ask twice.
                #expect((3...6).contains(receiver.messages.count))
                #expect(Set(receiver.messages.map { $0.headers["idempotency-key"] }).count == 1)
                #expect(shown.effects.map(\.state) == ["failed"])
                #expect(try await fleet.failures().tasks.map(\.stage) == ["notify"])
            }
        }

        @Test func aReceiverOnLoopbackIsRefusedUnlessAllowed() async throws {
            try await withReceiver(status: 200, allowed: false) { fleet, receiver in
                let shown = try await fleet.end(of: try await fleet.publish("told"))
                #expect(shown.state == "succeeded")
                let notify = try shown.task("notify")
                #expect(notify.state == "dead" && notify.attempt == 1, "\(notify)")
                #expect(notify.failure?.message.contains("127.0.0.1") == true, "\(notify)")
                #expect(receiver.messages.isEmpty)
            }
        }
    }
}
