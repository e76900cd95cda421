import ChildProcess
import Foundation
import Pipeline
import Testing

extension FleetTests {
    /// What the doctor says of a fleet in which some things are fine and some are not.
    @Suite(.timeLimit(.minutes(3))) struct DoctorTests {
        private static let configuration = """
            notify:
              webhooks:
                - {name: on-call, url: "http://127.0.0.1:9/hook"}
              smtp: {host: 127.0.0.1, port: 1, from: martlet@example.com, to: [team@example.com]}
            ingest: {file_roots: [/nowhere]}
            """
        private static let pipelines = [
            "tuned": """
            name: tuned
            parameters: {base_model: not-imported}
            stages:
              - {name: train, parameters: {base_model: "${base_model}"}}
            """
        ]

        /// The key of other tools, where Martlet has none of its own.
        @Test func theObjectStoreTakesTheKeyOfOtherTools() async throws {
            try await Fleet.run(pipelines: Self.pipelines) { fleet in
                let names = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"]
                let unset = names.flatMap { ["-u", "MARTLET_S3_" + $0] }
                let keys = names.map { "AWS_\($0)=\(fleet.share.environment["MARTLET_S3_" + $0] ?? "")" }
                let listing = [Fleet.program, "model", "list"]
                let answer = try await fleet.command("/usr/bin/env", unset + keys + listing)
                #expect(answer.status.isSuccess, "\(answer.complaint)")
                let without = try await fleet.command("/usr/bin/env", unset + listing)
                #expect(without.status == .exited(2) && without.complaint.contains("MARTLET_S3_ACCESS_KEY_ID"))
            }
        }

        @Test func everyCheckSaysWhatIsWrongAndWhatToDo() async throws {
            try await Fleet.run(
                pipelines: Self.pipelines, configuration: Self.configuration, secrets: ["MARTLET_PYTHON": "/nowhere"]
            ) { fleet in
                // A scheduler that took an event has subscribed.
                _ = try await fleet.publish("tuned")
                let answer = try await fleet.martlet("doctor", "--output", "json")
                #expect(answer.status == .exited(1))
                let document = try JSONDecoder().decode(JSONValue.self, from: Data(answer.output.utf8))
                let checks = try #require(document["checks"]?.arrayValue)
                func named(_ name: String) throws -> JSONValue {
                    try #require(checks.first { $0["check"]?.stringValue == name }, "no check of \(name)")
                }
                for name in [
                    "settings", "pipelines", "rabbitmq", "rabbitmq alarms", "scheduler", "redis", "postgresql",
                    "object store", "http.address",
                ] {
                    let check = try named(name)
                    #expect(check["ok"] == .bool(true), "\(name): \(check["detail"]?.stringValue ?? "")")
                }
                for (name, detail, fix) in [
                    ("ingest.file_roots", "/nowhere", "file_roots"), ("python", "/nowhere", "env.sh stages"),
                    ("base models", "not-imported (tuned)", "martlet model import"),
                    ("notify on-call", "loopback", "allow_addresses"), ("notify mail", "127.0.0.1:1", "notify"),
                    ("mlflow", "mlflow.url", "martlet up"),
                ] {
                    let check = try named(name)
                    #expect(check["ok"] == .bool(false))
                    #expect(check["detail"]?.stringValue?.contains(detail) == true, "\(check)")
                    #expect(check["fix"]?.stringValue?.contains(fix) == true, "\(check)")
                }
                let settings = try #require(document["settings"]?.arrayValue)
                let lease = try #require(settings.first { $0["key"]?.stringValue == "scheduler.lease" })
                #expect(lease["value"] == "3.0s")
                #expect(lease["origin"] == "MARTLET_SCHEDULER_LEASE")
                let secret = try #require(settings.first { $0["key"]?.stringValue == "s3.secret_access_key" })
                #expect(secret["value"] == "set")
                let table = try await fleet.martlet("doctor")
                #expect(table.output.contains("MARTLET_SCHEDULER_LEASE") && table.output.contains("✗ base models:"))
            }
        }
    }
}
