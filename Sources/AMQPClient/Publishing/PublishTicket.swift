import Synchronization

/// Outcomes of a batch, filled on the connection's thread and awaited by one task.
final class PublishTicket: Sendable {
    private struct State {
        var outcomes: [Result<Void, AMQPError>?]
        var missing: Int
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state: Mutex<State>

    init(count: Int) {
        state = Mutex(State(outcomes: Array(repeating: nil, count: count), missing: count))
    }

    /// The first outcome of each counts.
    func complete(_ index: Int, _ outcome: Result<Void, AMQPError>) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard state.outcomes[index] == nil else { return nil }
            state.outcomes[index] = outcome
            state.missing -= 1
            guard state.missing == 0 else { return nil }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    func isComplete(_ index: Int) -> Bool {
        state.withLock { $0.outcomes[index] != nil }
    }

    /// Waits for all. When the task is cancelled, what is missing becomes `cancelled`.
    func outcomes() async -> [Result<Void, AMQPError>] {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    if state.missing > 0 { state.waiter = continuation }
                    return state.missing == 0
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            giveUp()
        }
        return state.withLock { $0.outcomes.compactMap(\.self) }
    }

    private func giveUp() {
        let error = AMQPError(
            .cancelled, "the task was cancelled before the broker confirmed the message", isOutcomeUnknown: true)
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            for index in state.outcomes.indices where state.outcomes[index] == nil {
                state.outcomes[index] = .failure(error)
            }
            state.missing = 0
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}
