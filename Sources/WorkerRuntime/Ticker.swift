import Synchronization

/// One clock for all attempts of a worker: most of them end before it ticks once, and thousands begin every second, so
/// a timer for each would cost more than what it waits for.
final class Ticker: Sendable {
    static let interval = Duration.seconds(1)

    private struct State {
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Ticks until the surrounding task is cancelled.
    func run() async {
        while (try? await Task.sleep(for: Self.interval)) != nil {
            let waiters = state.withLock { state in
                defer { state.waiters = [:] }
                return state.waiters
            }
            for waiter in waiters.values { waiter.resume() }
        }
    }

    /// Returns at the next tick.
    /// - Throws: `CancellationError` once the task is cancelled.
    func tick() async throws {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // The handler may have run already, hence the look at `isCancelled` under the lock.
                let isOver = state.withLock { state in
                    if Task.isCancelled { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
        try Task.checkCancellation()
    }
}
