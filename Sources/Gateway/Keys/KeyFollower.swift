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
        // One reading at a time, and one more for whatever came meanwhile.
        let (requests, sink) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await follow(sink) }
            group.addTask { await remind(sink) }
            group.addTask { for await _ in requests { await load() } }
        }
    }

    /// Changes are told by the ledger.
    private func follow(_ sink: AsyncStream<Void>.Continuation) async {
        while !Task.isCancelled {
            do {
                for try await _ in ledger.keyChanges() { sink.yield() }
            } catch {
                log.warning("cannot listen for changes of keys", metadata: ["error": "\(error)"])
            }
            // What the loop above ends with is an error that does not go away by itself.
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func remind(_ sink: AsyncStream<Void>.Continuation) async {
        while !Task.isCancelled {
            sink.yield()
            try? await Task.sleep(for: Self.interval)
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
