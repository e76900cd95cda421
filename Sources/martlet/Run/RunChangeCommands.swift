import ArgumentParser
import Configuration
import Coordination
import Glibc
import Ledger
import Pipeline

struct RunCancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Cancels a run; what is at work stops at its next heartbeat.",
        discussion: "  martlet run cancel r1k7")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The run's id, its beginning, or `latest`.")
    var run: String

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet run")
            let ledger = try services.ledger(connections: 1)
            let id = try await ledger.findRun(run)
            let done = try await ledger.cancel(id, actor: Actor.name)
            // After the ledger: a flag without a cancelled run would stop what nobody cancelled.
            let coordinator = try services.coordinator()
            try await coordinator.setCancelled(id)
            try await coordinator.announce([id])
            try await ledger.announceReady(pools: done.readyPools)
            try format.show(run: id, verb: "cancelled", stages: done.stages)
        }
    }
}

struct RunRetryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Runs again what did not succeed; finished stages are kept.",
        discussion: """
              martlet run retry r1k7
              martlet run retry r1k7 --from-stage train
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The run's id, its beginning, or `latest`.")
    var run: String

    @Option(help: "Run this stage again too, and everything behind it, even if it succeeded.")
    var fromStage: String?

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet run")
            let ledger = try services.ledger(connections: 1)
            let id = try await ledger.findRun(run)
            let coordinator = try services.coordinator()
            // Before the ledger: a task of the new generation must not meet the old flag.
            try await coordinator.clearCancelled(id)
            let done = try await ledger.retry(id, from: fromStage, actor: Actor.name)
            try await ledger.announceReady(pools: done.readyPools)
            try await coordinator.announce([id])
            try format.show(run: id, verb: "runs again", stages: done.stages)
        }
    }
}

enum Actor {
    /// Who does it, for the audit: the user's name on this machine.
    static var name: String {
        guard let entry = getpwuid(getuid()), let name = entry.pointee.pw_name else { return "uid \(getuid())" }
        return String(cString: name)
    }
}

extension OutputOptions {
    func show(run: RunID, verb: String, stages: [String]) throws {
        switch output {
        case .table: print("run \(run) \(verb): \(stages.joined(separator: ", "))")
        case .json:
            print(
                JSONValue.object([
                    "run": .string(run.description), "stages": .array(stages.map(JSONValue.string)),
                ]).canonicalJSON)
        }
    }
}
