import ArgumentParser
import Configuration
import Coordination
import Ledger
import ObjectStorage
import Pipeline

struct RunLogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Prints the logs of a run's attempts.",
        discussion: """
              martlet run logs latest
              martlet run logs r1k7 --stage train --attempt 2
              martlet run logs latest --stage train --follow
              martlet run logs latest --output json     a JSON object per line
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The run's id, its beginning, or `latest`.")
    var run: String

    @Option(help: "Only this stage.")
    var stage: String?

    @Option(help: "Only this attempt; the latest of each stage by default.")
    var attempt: Int?

    @Flag(name: .shortAndLong, help: "Go on until the run has ended.")
    var follow = false

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let services = Services(quiet: settings, name: "martlet run")
            let ledger = try services.ledger(connections: 1)
            let id = try await ledger.findRun(run)
            let record = try await ledger.run(id)
            if let stage, !record.tasks.contains(where: { $0.stage == stage }) {
                throw LedgerError(
                    .notFound,
                    "run \(id) has no stage \(stage); it has \(record.tasks.map(\.stage).joined(separator: ", "))")
            }
            let source = LogSource(
                coordinator: try services.coordinator(), storage: try services.storage(services.transport()),
                bucket: settings.s3.bucket, run: id)
            if follow {
                try await source.follow(ledger: ledger, stage: stage, attempt: attempt) { stage, attempt, line in
                    try write(line, of: stage, attempt, before: "\(stage)  ")
                }
            } else {
                try await print(record, from: source)
            }
        }
    }

    private func print(_ record: RunRecord, from source: LogSource) async throws {
        var isFound = false
        for task in record.tasks where stage == nil || task.stage == stage {
            // The attempt that counts now may not have begun: then the one before it has the story.
            let last = task.startedAt == nil && task.state == .ready ? task.attempt - 1 : task.attempt
            let lines = try await source.whole(stage: task.stage, attempt: attempt ?? last)
            guard !lines.isEmpty else { continue }
            isFound = true
            if stage == nil, format.output == .table {
                Terminal.write("── \(task.stage), attempt \(attempt ?? last)\n")
            }
            for line in lines { try write(line, of: task.stage, attempt ?? last) }
        }
        guard isFound else { throw LedgerError(.notFound, "there are no logs yet for what was asked") }
    }

    private func write(_ line: String, of stage: String, _ attempt: Int, before prefix: String = "") throws {
        switch format.output {
        case .table: Terminal.write(prefix + Terminal.safe(line) + "\n")
        case .json:
            let object: JSONValue = .object([
                "stage": .string(stage), "attempt": .int(Int64(attempt)), "line": .string(line),
            ])
            Terminal.write(object.canonicalJSON + "\n")
        }
    }
}
