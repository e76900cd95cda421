import ArgumentParser
import Configuration
import HTTPTransport
import Ledger
import MLflowClient
import Pipeline
import StageSupport

struct RunReportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Sums up a run: durations, metrics against thresholds, gate decision, model version.",
        discussion: """
            Exit code 0 when the run succeeded, 4 when it was rejected, 1 otherwise.

              martlet run report latest
              martlet run report r1k7 --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The run's id, its beginning, or `latest`.")
    var run: String

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let services = Services(quiet: settings, name: "martlet run")
            let ledger = try services.ledger(connections: 1)
            var report = ClosingReport(try await ledger.run(try await ledger.findRun(run)))
            report.mlflow = settings.mlflow?.description
            await addChampion(to: &report, services)
            switch format.output {
            case .json: print(try JSONText.of(report))
            case .table: Terminal.show(report.text, terminator: "")
            }
            switch report.state {
            case .succeeded: return
            case .rejected: throw ExitCodes.refused
            default: throw ExitCodes.failed
            }
        }
    }

    /// The registry's word on the champion. A registry that is away costs one line of the report.
    private func addChampion(to report: inout ClosingReport, _ services: Services) async {
        guard let model = report.model, services.configuration.mlflow != nil else { return }
        let transport = services.transport()
        do {
            let champion = try await services.mlflow(transport)
                .modelVersion(name: model.name, alias: Lineage.championAlias)
            report.model?.championNow = champion?.version
        } catch {
            report.problems.append("the registry was not asked for the champion: \(error)")
        }
        await transport.close()
    }
}
