import Ledger
import Logging
import Pipeline
import PostgresClient

/// Keeps the known keys as the ledger has them: at once when they change, and from time to time for what was spent.
struct KeyFollower: Sendable {
    let table: KeyTable
    let ledger: Ledger
    let log: Logger

    /// Between two readings without a change: budgets that other gateways' requests use up are noticed then.
    private static let interval = Duration.seconds(5)

    /// Until it is cancelled.
    func run() async {
        await Rereading.run(every: Self.interval) {
            ledger.keyChanges()
        } failed: { error in
            log.warning("cannot listen for changes of keys", metadata: ["error": "\(error)"])
        } read: {
            await load()
        }
    }

    /// Reads the keys; while the ledger is away, those that are known go on.
    private func load() async {
        for key in table.all { key.expectUpdate() }
        do {
            table.update(try await ledger.keys())
        } catch {
            guard !Task.isCancelled else { return }
            log.warning("cannot read the keys; those that are known stay in force", metadata: ["error": "\(error)"])
        }
    }
}
