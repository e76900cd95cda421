import ChildProcess
import Foundation
import Pipeline
import Testing

extension FleetTests {
    /// What a producer can get wrong, from the event to what the on-call engineer reads.
    @Suite(.timeLimit(.minutes(5))) struct BadInputTests {
        private static let pipelines = [
            "read": """
            name: read
            parameters: {source: null}
            stages:
              - name: ingest
                timeout: 1m
                retries: {attempts: 3, initial_delay: 200ms, max_delay: 1s}
                parameters: {source: "${source}"}
            """,
            "denied": """
            name: denied
            parameters: {source: null}
            stages:
              - name: ingest
                pool: denied
                timeout: 1m
                retries: {attempts: 3, initial_delay: 200ms, max_delay: 1s}
                parameters: {source: "${source}"}
            """,
        ]

        private struct Input {
            var name: String
            var bytes: [UInt8]
            var code: String
            /// Words of the message.
            var words: [String]
        }

        private static var inputs: [Input] {
            let pair = #"{"question": "What is CWE-79?", "answer": "Cross-site scripting."}"# + "\n"
            let latin = pair.replacing("Cross", with: "Cröss").unicodeScalars.map {
                UInt8(truncatingIfNeeded: $0.value)
            }
            return [
                Input(
                    name: "truncated.jsonl", bytes: Array((pair + pair + pair.prefix(30)).utf8),
                    code: "ingest.truncated",
                    words: ["truncated.jsonl", "line 3"]),
                Input(
                    name: "utf16.jsonl", bytes: [0xFF, 0xFE] + pair.utf8.flatMap { [$0, 0] },
                    code: "ingest.wrong_encoding",
                    words: ["utf16.jsonl", "UTF-16"]),
                Input(
                    name: "latin1.jsonl", bytes: Array(pair.utf8) + latin, code: "ingest.error_budget_exceeded",
                    words: ["latin1.jsonl", "line 2", "UTF-8"]),
                Input(
                    name: "column.csv", bytes: Array("question,reply\nWhat?,That.\n".utf8),
                    code: "ingest.missing_column",
                    words: ["column.csv", "\"answer\"", "\"reply\""]),
                Input(name: "empty.jsonl", bytes: [], code: "ingest.empty_source", words: ["empty.jsonl"]),
                Input(
                    name: "megabyte.jsonl",
                    bytes: Array((pair + "{\"question\": \"Long?\", \"answer\": \"").utf8)
                        + [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20) + Array("\"}\n".utf8),
                    code: "ingest.error_budget_exceeded", words: ["megabyte.jsonl", "line 2"]),
                Input(
                    name: "ragged.csv", bytes: Array("question,answer\nq1,\"open\nq2,fine\nq3,bad\"quote\n".utf8),
                    code: "ingest.error_budget_exceeded", words: ["ragged.csv", "line 2"]),
            ]
        }

        @Test func everyBadSourceIsRefusedWithItsReason() async throws {
            try await Fleet.run(pipelines: Self.pipelines, workers: ["ingest"]) { fleet in
                try await fleet.start("denied", variables: ["MARTLET_S3_SECRET_ACCESS_KEY": "nobodysSecret"])
                let server = try await Receiver.start(status: 204, script: try fleet.script("receiver.py"))
                defer { server.stop() }
                var expected: [(run: String, name: String, code: String?, words: [String])] = []
                for input in Self.inputs {
                    let file = fleet.folder + "/" + input.name
                    try Data(input.bytes).write(to: URL(filePath: file))
                    let run = try await fleet.publish("read", ["source": "file://" + file])
                    expected.append((run, input.name, input.code, input.words))
                }
                let sources = [
                    ("read", "http://127.0.0.1:\(server.port)/nothing.jsonl", ["404", "nothing.jsonl"]),
                    ("read", "s3://no-such-bucket/data.jsonl", ["no-such-bucket"]),
                    ("read", "file:///nowhere/data.jsonl", ["/nowhere/data.jsonl"]),
                    ("denied", "s3://martlet/data.jsonl", ["s3://martlet/data.jsonl"]),
                ]
                for (pipeline, source, words) in sources {
                    let run = try await fleet.publish(pipeline, ["source": source])
                    expected.append((run, source, nil, words))
                }
                for (run, name, code, words) in expected {
                    let shown = try await fleet.end(of: run)
                    let task = try shown.task("ingest")
                    #expect(shown.state == "failed" && task.state == "dead", "\(name): \(shown)")
                    let failure = try #require(task.failure, "\(name)")
                    // Another try reads the same bytes.
                    #expect(task.attempt == 1 && failure.class == "permanent", "\(name): \(task)")
                    if let code { #expect(failure.code == code, "\(name): \(failure)") }
                    for word in words { #expect(failure.message.contains(word), "\(name): \(failure.message)") }
                }
                let dead = try await fleet.failures().tasks.map(\.run)
                #expect(Set(dead) == Set(expected.map(\.run)) && dead.count == expected.count)
            }
        }

        @Test func everyBadMessageIsKeptOnceAsADeadLetter() async throws {
            try await Fleet.run(pipelines: Self.pipelines) { fleet in
                func event(_ pipeline: String, source: String = "/tests") -> [UInt8] {
                    Array(
                        """
                        {"specversion": "1.0", "type": "dev.martlet.data.available.v1", "source": "\(source)", "id": "x",
                         "data": {"pipeline": "\(pipeline)", "parameters": {"source": "file:///x"}}}
                        """.utf8)
                }
                let messages: [(bytes: [UInt8], words: [String])] = [
                    (Array("this is no JSON {".utf8), ["JSON"]),
                    ([0xFF, 0x00, 0xFE], []),
                    (event("read", source: String(repeating: "x", count: 20 << 20)), ["bytes", "address"]),
                    (event("no-such-pipeline"), ["no-such-pipeline", "read"]),
                ]
                for (number, message) in messages.enumerated() {
                    try await fleet.publishForeign(message.bytes)
                    let letter = try await eventually("a dead letter of \(message.bytes.count) bytes") {
                        let letters = try await fleet.failures().deadLetters
                        return letters.count > number ? letters.first : nil
                    }
                    #expect(letter.bodyBytes == message.bytes.count, "\(letter)")
                    #expect(letter.queue == "martlet.scheduler.events")
                    for word in message.words { #expect(letter.reason.contains(word), "\(letter)") }
                }
                // A good event behind them is taken, and none of them comes again.
                _ = try await fleet.publish("read", ["source": "file:///nowhere"])
                #expect(try await fleet.failures().deadLetters.count == messages.count)
                #expect(try await fleet.runs().count == 1)
            }
        }

        @Test func aPipelineWithACycleIsRefusedWithFileAndLine() async throws {
            let cycle = """
                name: cycle
                stages:
                  - name: a
                    kind: noop
                    needs: [b]
                  - name: b
                    kind: noop
                    needs: [a]
                """
            try await Fleet.run(pipelines: ["cycle": cycle, "good": "name: good\nstages:\n  - {name: a, kind: noop}\n"])
            {
                fleet in
                let answer = try await fleet.martlet("pipeline", "check", fleet.folder + "/pipelines/cycle.yaml")
                #expect(answer.status == .exited(1))
                #expect(answer.complaint.contains("cycle.yaml:"))
                #expect(answer.complaint.contains("cycle") && answer.complaint.contains("a"))
                // It takes nothing from the others, and nobody can run it.
                let refused = try await fleet.martlet("event", "publish", "cycle")
                #expect(refused.status == .exited(3))
                _ = try await fleet.publish("good")
            }
        }
    }
}
