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
            """)

    @OptionGroup var global: GlobalOptions

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
                try await source.follow(ledger: ledger, stage: stage)
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
            guard let text = try await source.whole(stage: task.stage, attempt: attempt ?? last) else { continue }
            isFound = true
            if stage == nil { Terminal.write("── \(task.stage), attempt \(attempt ?? last)\n") }
            Terminal.write(text)
        }
        guard isFound else { throw LedgerError(.notFound, "there are no logs yet for what was asked") }
    }
}
