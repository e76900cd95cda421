import Synchronization

/// Those who wait in `connect()` for a first connection.
struct Readiness {
    final class Waiter: Sendable {
        private struct State {
            var outcome: Result<Void, any Error>?
            var continuation: CheckedContinuation<Void, any Error>?
        }

        private let state = Mutex(State())

        /// The first outcome counts.
        func complete(_ outcome: Result<Void, any Error>) {
            let continuation = state.withLock { state -> CheckedContinuation<Void, any Error>? in
                guard state.outcome == nil else { return nil }
                state.outcome = outcome
                defer { state.continuation = nil }
                return state.continuation
            }
            continuation?.resume(with: outcome)
        }

        func value() async throws {
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    let outcome = state.withLock { state -> Result<Void, any Error>? in
                        if state.outcome == nil { state.continuation = continuation }
                        return state.outcome
                    }
                    if let outcome { continuation.resume(with: outcome) }
                }
            } onCancel: {
                complete(.failure(CancellationError()))
            }
        }
    }

    private var waiters: [Waiter] = []

    mutating func add() -> Waiter {
        let waiter = Waiter()
        waiters.append(waiter)
        return waiter
    }

    mutating func succeed() {
        finish(.success(()))
    }

    /// What no retry can mend is reported at once; the rest at the deadline.
    mutating func connectFailed(_ error: AMQPError) {
        if !error.isRetryable { finish(.failure(error)) }
    }

    mutating func fail(_ waiter: Waiter, _ error: AMQPError) {
        waiters.removeAll { $0 === waiter }
        waiter.complete(.failure(error))
    }

    mutating func finish(_ error: AMQPError) {
        finish(.failure(error))
    }

    private mutating func finish(_ outcome: Result<Void, any Error>) {
        for waiter in waiters { waiter.complete(outcome) }
        waiters = []
    }

    static func timedOut(_ configuration: AMQPConfiguration, _ timeout: Duration) -> AMQPError {
        AMQPError(
            .timeout, "no connection to the broker at \(configuration.endpoint) within \(timeout)", isRetryable: true)
    }
}
