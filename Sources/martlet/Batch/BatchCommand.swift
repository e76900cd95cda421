import ArgumentParser
import Batches
import Configuration
import Ledger
import Pipeline

struct BatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch", abstract: "Batches of requests that the gateways answer with spare capacity.",
        discussion: """
            Clients begin them through the gateway, as OpenAI's batch API has it; here is how they stand, of all teams.

              martlet batch list
              martlet batch show batch_0123
              martlet batch cancel batch_0123
            """,
        subcommands: [BatchListCommand.self, BatchShowCommand.self, BatchCancelCommand.self])
}

struct BatchListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "The latest batches.")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Option(help: "Of this team only.")
    var team: String?

    @Option(help: "So many at most.")
    var limit = 50

    func validate() throws {
        guard (1...10_000).contains(limit) else { throw ValidationError("--limit must be from 1 to 10000.") }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let ledger = try Services(quiet: try global.load(), name: "martlet batch").ledger(connections: 1)
            let batches = try await ledger.batches(team: team, after: nil, limit: limit)
            switch format.output {
            case .json: print(try JSONText.of(batches.map(\.told)))
            case .table:
                var table = Table(["BATCH", "TEAM", "STATUS", "DONE", "FAILED", "TOTAL", "TOKENS", "COST", "AGE"])
                for batch in batches {
                    table.add([
                        batch.id, batch.team, batch.status.rawValue, String(batch.sum.completed),
                        String(batch.sum.failed), String(batch.total),
                        String(batch.sum.promptTokens + batch.sum.completionTokens),
                        NumberText.short(Double(batch.sum.cost) / 1_000_000),
                        Age.text(from: batch.times.created, to: .now),
                    ])
                }
                print(table.text, terminator: "")
            }
        }
    }
}

struct BatchShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "One batch, as its client sees it, with its team.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "Its id.")
    var id: String

    func run() async throws {
        try await ExitCodes.guarding {
            let ledger = try Services(quiet: try global.load(), name: "martlet batch").ledger(connections: 1)
            guard let batch = try await ledger.batch(id, team: nil) else {
                throw LedgerError(.notFound, "there is no batch \(id): `martlet batch list` shows them")
            }
            print(try JSONText.of(batch.told))
        }
    }
}

struct BatchCancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Ends a batch; what was answered so far is kept.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "Its id.")
    var id: String

    func run() async throws {
        try await ExitCodes.guarding {
            let ledger = try Services(quiet: try global.load(), name: "martlet batch").ledger(connections: 1)
            let batch = try await ledger.cancelBatch(id, team: nil)
            print("\(batch.id) is \(batch.status.rawValue)")
        }
    }
}

extension Batch {
    /// As its client sees it, and whose it is.
    fileprivate var told: JSONValue {
        guard case .object(var members) = json else { return json }
        members["team"] = .string(team)
        return .object(members)
    }
}
