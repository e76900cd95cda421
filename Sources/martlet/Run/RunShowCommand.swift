import ArgumentParser
import Configuration
import Ledger
import Pipeline

struct RunShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows a run: stages, failures, gate decision, effects.",
        discussion: """
              martlet run show latest
              martlet run show r1k7 --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The run's id, its beginning, or `latest`.")
    var run: String

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet run")
            let ledger = try services.ledger(connections: 1)
            let record = try await ledger.run(try await ledger.findRun(run))
            switch format.output {
            case .json: print(try JSONText.of(record))
            case .table: Terminal.show(RunReport(record).text, terminator: "")
            }
        }
    }
}
