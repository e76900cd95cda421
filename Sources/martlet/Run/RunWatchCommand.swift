import ArgumentParser
import Configuration
import Coordination
import Ledger
import Pipeline

struct RunWatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Draws a run's progress until it has ended.",
        discussion: """
            Exit code 0 when it succeeded, 4 when it was rejected, 1 when it failed or was cancelled.

              martlet run watch latest
              martlet run watch latest --output json    the run as it ended, as `run show` has it
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The run's id, its beginning, or `latest`.")
    var run: String

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet run watch")
            let ledger = try services.ledger(connections: 1)
            let id = try await ledger.findRun(run)
            let watch = RunWatch(
                run: id, ledger: ledger, coordinator: try services.coordinator(), format: format)
            let record = try await watch.follow()
            if format.output == .json { print(try JSONText.of(record)) }
            switch record.state {
            case .succeeded: return
            case .rejected: throw ExitCodes.refused
            default: throw ExitCodes.failed
            }
        }
    }
}
