import Synchronization

/// Wakes one loop: rings that come while it is busy are one ring.
///
/// Not an `AsyncStream`: cancelling a wait for its next element ends the stream, so that the first wait that timed
/// out would turn every later one into a busy loop.
package final class Bell: Sendable {
    private struct State {
        var isRung = false
        /// The wait in progress is over, even if its caller is not parked yet.
        var isGivenUp = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    package init() {}

    package func ring() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            if state.waiter == nil { state.isRung = true }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns at the next ring, or when the task is cancelled. One caller at a time.
    package func wait() async {
        guard !takeRing() else { return }
        await park()
    }

    /// Returns at the next ring, or after `limit`, or when the task is cancelled. One caller at a time.
    /// - Returns: whether it was a ring.
    @discardableResult
    package func wait(atMost limit: Duration) async -> Bool {
        guard !takeRing() else { return true }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                // Cancelled when the bell rings first.
                guard (try? await Task.sleep(for: limit)) != nil else { return }
                self.giveUp()
            }
            await park()
            // The group waits for the timer's end, so no timer of this wait can end the next one.
            group.cancelAll()
        }
        return state.withLock { !$0.isGivenUp }
    }

    private func takeRing() -> Bool {
        state.withLock { state in
            defer { state.isRung = false }
            state.isGivenUp = false
            return state.isRung
        }
    }

    private func park() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    // A ring, the timer or the cancellation's handler may have come first; hence the look under the lock.
                    if state.isRung || state.isGivenUp || Task.isCancelled {
                        state.isRung = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            giveUp()
        }
    }

    private func giveUp() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            state.isGivenUp = true
            return state.waiter
        }
        waiter?.resume()
    }
}
