import Ledger
import Logging
import Pipeline
import PostgresClient

/// Keeps the rollouts as the ledger has them, and tells it what their versions do.
struct RolloutFollower: Sendable {
    let table: RolloutTable
    let ledger: Ledger
    let log: Logger

    private static let interval = Duration.seconds(1)

    /// Until it is cancelled.
    func run() async {
        await Rereading.run(every: Self.interval) {
            ledger.rolloutChanges()
        } failed: { error in
            log.debug("cannot listen for changes of rollouts", metadata: ["error": "\(error)"])
        } read: {
            await exchange()
        }
    }

    /// While the ledger is away, shares stay as they are and what was seen is kept.
    private func exchange() async {
        let sums = table.takeSums()
        do {
            try await ledger.addRolloutSums(sums)
        } catch {
            table.putBack(sums)
            guard !Task.isCancelled else { return }
            log.debug("the ledger does not take what rollouts do; it is kept", metadata: ["error": "\(error)"])
            return
        }
        do {
            table.update(try await ledger.rolloutsAlive())
        } catch {
            guard !Task.isCancelled else { return }
            log.debug("cannot read the rollouts; their shares stay", metadata: ["error": "\(error)"])
        }
    }
}
