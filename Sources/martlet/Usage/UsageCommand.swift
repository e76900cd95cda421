import ArgumentParser
import Configuration
import Ledger
import Pipeline

struct UsageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage", abstract: "What was used of the models and what it cost, by team, key and model version.",
        discussion: """
              martlet usage
              martlet usage --from 2026-11-01 --to 2026-12-01 --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Option(help: "The first day, in UTC; the first of this month without it.")
    var from: String?

    @Option(help: "The day after the last one.")
    var to: String?

    private struct Row: Encodable {
        var team: String
        var key: String
        var model: String
        var version: String
        var requests: Int
        var failed: Int
        var partial: Int
        var promptTokens: Int
        var cachedTokens: Int
        var completionTokens: Int
        var cost: Double
    }

    func validate() throws {
        for text in [from, to].compactMap({ $0 }) where Timestamp(rfc3339: text + "T00:00:00Z") == nil {
            throw ValidationError("\(text): write a day as 2026-11-30.")
        }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let ledger = try Services(quiet: try global.load(), name: "martlet usage").ledger(connections: 1)
            let month = "\(Timestamp.now)".prefix(7) + "-01"
            let start = Timestamp(rfc3339: (from ?? String(month)) + "T00:00:00Z") ?? Timestamp(microseconds: 0)
            let end =
                to.flatMap { Timestamp(rfc3339: $0 + "T00:00:00Z") } ?? Timestamp.now.advanced(by: .seconds(3_600))
            let rows = try await ledger.usage(from: start, to: end).map { report in
                Row(
                    team: report.team, key: report.key == 0 ? "(no key)" : report.name, model: report.model,
                    version: report.version, requests: report.sum.requests, failed: report.sum.failed,
                    partial: report.sum.partial, promptTokens: report.sum.promptTokens,
                    cachedTokens: report.sum.cachedTokens, completionTokens: report.sum.completionTokens,
                    cost: Double(report.sum.cost) / 1_000_000)
            }
            switch format.output {
            case .json: print(try JSONText.of(rows))
            case .table:
                var table = Table([
                    "TEAM", "KEY", "MODEL", "VERSION", "REQUESTS", "FAILED", "PARTIAL", "PROMPT", "CACHED",
                    "COMPLETION", "COST",
                ])
                for row in rows {
                    table.add(
                        [row.team, row.key, row.model, row.version]
                            + [
                                row.requests, row.failed, row.partial, row.promptTokens, row.cachedTokens,
                                row.completionTokens,
                            ].map { String($0) } + [NumberText.short(row.cost)])
                }
                print(table.text, terminator: "")
            }
        }
    }
}
