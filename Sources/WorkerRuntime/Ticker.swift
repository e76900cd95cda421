import Synchronization

/// One clock for all attempts of a worker: most of them end before it ticks once, and thousands begin every second, so
/// a timer and a task for each would cost more than what they wait for.
final class Ticker: Sendable {
    private struct Entry {
        var watcher: TaskWatcher
        var isLooking = false
        var isStoring = false
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        var next: UInt64 = 0
    }

    private static let interval = Duration.seconds(1)

    private let state = Mutex(State())

    /// Has the watcher look after its attempt about once a second until it is removed.
    func add(_ watcher: TaskWatcher) -> UInt64 {
        state.withLock { state in
            state.next += 1
            state.entries[state.next] = Entry(watcher: watcher)
            return state.next
        }
    }

    func remove(_ id: UInt64) {
        state.withLock { $0.entries[id] = nil }
    }

    /// Ticks until the surrounding task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            while (try? await Task.sleep(for: Self.interval)) != nil {
                let (looks, stores) = takeDue()
                for (id, watcher) in looks {
                    group.addTask {
                        await watcher.look()
                        self.change(id) { $0.isLooking = false }
                    }
                }
                // Beside the looking: a store that hangs must not hold up the heartbeats.
                for (id, watcher) in stores {
                    group.addTask {
                        await watcher.storeLog()
                        self.change(id) { $0.isStoring = false }
                    }
                }
            }
            group.cancelAll()
        }
    }

    /// Those whose last look, and whose last storing of the log, are over.
    private func takeDue() -> (looks: [(UInt64, TaskWatcher)], stores: [(UInt64, TaskWatcher)]) {
        state.withLock { state in
            var looks: [(UInt64, TaskWatcher)] = []
            var stores: [(UInt64, TaskWatcher)] = []
            for (id, entry) in state.entries {
                if !entry.isLooking { looks.append((id, entry.watcher)) }
                if !entry.isStoring, entry.watcher.isLogDue { stores.append((id, entry.watcher)) }
            }
            for (id, _) in looks { state.entries[id]?.isLooking = true }
            for (id, _) in stores { state.entries[id]?.isStoring = true }
            return (looks, stores)
        }
    }

    private func change(_ id: UInt64, _ body: @Sendable (inout Entry) -> Void) {
        state.withLock { state in
            guard var entry = state.entries[id] else { return }
            body(&entry)
            state.entries[id] = entry
        }
    }
}
