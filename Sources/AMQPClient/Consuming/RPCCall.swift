import CRabbitMQ
import Synchronization

/// One question to the broker and its answer.
final class RPCCall: Sendable {
    enum Reply: Sendable {
        case done
        case queue(AMQPQueueStatus)
        case count(Int)
        case message(AMQPDelivery?)
    }

    /// Queues the request on a channel of a link.
    typealias Request = @Sendable (_ output: FrameBuffer, _ channel: UInt16) throws(AMQPError) -> Void

    private struct State {
        var outcome: Result<Reply, any Error>?
        var continuation: CheckedContinuation<Reply, any Error>?
    }

    let request: Request
    let deadline: ContinuousClock.Instant
    private let state = Mutex(State())

    init(deadline: ContinuousClock.Instant, _ request: @escaping Request) {
        self.deadline = deadline
        self.request = request
    }

    var isComplete: Bool { state.withLock { $0.outcome != nil } }

    /// The first outcome counts.
    func complete(_ outcome: Result<Reply, any Error>) {
        let continuation = state.withLock { state -> CheckedContinuation<Reply, any Error>? in
            guard state.outcome == nil else { return nil }
            state.outcome = outcome
            defer { state.continuation = nil }
            return state.continuation
        }
        continuation?.resume(with: outcome)
    }

    func reply() async throws -> Reply {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome = state.withLock { state -> Result<Reply, any Error>? in
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
