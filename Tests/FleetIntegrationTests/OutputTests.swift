import ChildProcess
import Foundation
import Pipeline
import Testing

extension FleetTests {
    /// What the commands print, for programs, for terminals and for those who follow.
    @Suite(.timeLimit(.minutes(5))) struct OutputTests {
        private struct Line: Decodable {
            var stage: String
            var attempt: Int
            var line: String
        }

        private struct Size: Decodable, Equatable {
            var pool: String
            var desired: Int
            var supervised: Bool
        }

        @Test func aRunIsToldToProgramsTerminalsAndFollowers() async throws {
            let folder = try TestFolders.make()
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let pipeline = """
                name: twice
                stages:
                  - name: try
                    kind: command
                    timeout: 1m
                    retries: {attempts: 3, initial_delay: 200ms, max_delay: 1s}
                    parameters:
                      command:
                        - sh
                        - -c
                        - 'test -e "$0" && echo fine >&2 && exit; : > "$0"; printf "\\033[31mworse\\n" >&2; exit 75'
                        - \(folder)/again
                """
            try await Fleet.run(pipelines: ["twice": pipeline], workers: ["command"]) { fleet in
                let run = try await fleet.publish("twice")
                let watched = try await fleet.json(ShownRun.self, ["run", "watch", run])
                #expect(watched.state == "succeeded" && watched.tasks.map(\.attempt) == [2])

                // The store has all of it, whatever became of what Redis had.
                try await fleet.flushRedis()
                let whole = try await fleet.martlet("run", "logs", run, "--follow")
                #expect(whole.output.contains("worse\n") && whole.output.contains("fine\n"), "\(whole)")
                let first = try await fleet.martlet("run", "logs", run, "--follow", "--attempt", "1")
                #expect(first.output.contains("\u{1B}[31mworse\n") && !first.output.contains("fine"), "\(first)")
                let lines = try await fleet.martlet("run", "logs", run, "--output", "json").output
                    .split(separator: "\n").map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
                #expect(lines.contains { $0.stage == "try" && $0.attempt == 2 && $0.line.hasSuffix("fine") })

                // script(1) runs it on a terminal.
                let words = "'\(Fleet.program)' run logs \(run) --attempt 1"
                let terminal = try await fleet.command("script", ["-qec", words, "/dev/null"])
                #expect(terminal.output.contains("\\u{1b}[31mworse"), "\(terminal)")
                #expect(!terminal.output.contains("\u{1B}"), "\(terminal)")

                let scaled = try await fleet.martlet("pool", "scale", "command=2", "--output", "json")
                #expect(
                    try JSONDecoder().decode([Size].self, from: Data(scaled.output.utf8))
                        == [Size(pool: "command", desired: 2, supervised: false)])
                #expect(scaled.complaint.contains("no supervisor"))
                let checked = try await fleet.json(
                    JSONValue.self, ["pipeline", "check", fleet.folder + "/pipelines/twice.yaml"])
                #expect(checked["files"]?.arrayValue?.first?["pipeline"]?.stringValue == "twice")
            }
        }
    }
}
