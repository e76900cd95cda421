import ArgumentParser
import Configuration
import Ledger
import Pipeline

extension RunState: ExpressibleByArgument {}

struct RunListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists runs, the newest first.",
        discussion: """
              martlet run list
              martlet run list --state failed --pipeline security-qa --limit 100
              martlet run list --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Option(help: "Only runs in this state.")
    var state: RunState?

    @Option(help: "Only runs of this pipeline.")
    var pipeline: String?

    @Option(help: "How many, at most.")
    var limit = 20

    func validate() throws {
        guard (1...10_000).contains(limit) else { throw ValidationError("--limit must be from 1 to 10000.") }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet run")
            let runs = try await services.ledger(connections: 1)
                .listRuns(state: state, pipeline: pipeline, limit: limit)
            switch format.output {
            case .json: print(try JSONText.of(runs))
            case .table:
                var table = Table(["RUN", "PIPELINE", "STATE", "STAGES", "AGE", "TOOK", "NOTE"])
                for run in runs {
                    let took = (run.startedAt).map { Age.text(from: $0, to: run.finishedAt ?? .now) }
                    table.add([
                        run.id.description, run.pipeline, run.state.rawValue, "\(run.succeeded)/\(run.stages)",
                        Age.text(from: run.createdAt, to: .now), took ?? "-",
                        (run.reason ?? run.current.map { "at \($0)" } ?? "").cut(to: 80),
                    ])
                }
                print(table.text, terminator: "")
                if runs.isEmpty { Terminal.complain("no runs; publish an event with `martlet event publish`") }
            }
        }
    }
}
