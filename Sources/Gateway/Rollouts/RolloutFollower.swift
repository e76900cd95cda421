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
        // One reading at a time, and one more for whatever came meanwhile.
        let (requests, sink) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    do {
                        for try await _ in ledger.rolloutChanges() { sink.yield() }
                    } catch {
                        log.debug("cannot listen for changes of rollouts", metadata: ["error": "\(error)"])
                    }
                    try? await Task.sleep(for: Self.interval)
                }
            }
            group.addTask {
                while !Task.isCancelled {
                    sink.yield()
                    try? await Task.sleep(for: Self.interval)
                }
            }
            group.addTask { for await _ in requests { await exchange() } }
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
