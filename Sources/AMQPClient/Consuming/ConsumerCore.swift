import SocketExecutor
import Synchronization

/// The part of a consumer that the connection's thread fills and a task empties.
final class ConsumerCore: Sendable {
    let queue: String
    let consumerTag: String
    let prefetch: UInt16
    let exclusive: Bool
    let settlements: SettlementInbox

    private enum Ending {
        case cancelled
        case failed(AMQPError)
    }

    private struct State {
        var buffer: [AMQPDelivery] = []
        /// Index of the first delivery in `buffer` that was not taken.
        var taken = 0
        var ending: Ending?
        var waiters: [(id: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
        var nextWaiter: UInt64 = 0

        var count: Int { buffer.count - taken }
    }

    private let state = Mutex(State())

    init(
        queue: String, consumerTag: String, prefetch: UInt16, exclusive: Bool, executor: SocketExecutor
    ) {
        self.queue = queue
        self.consumerTag = consumerTag
        self.prefetch = prefetch
        self.exclusive = exclusive
        settlements = SettlementInbox(executor: executor)
    }

    var bufferedCount: Int { state.withLock(\.count) }
    var isEnded: Bool { state.withLock { $0.ending != nil } }

    // MARK: The task's side

    func next(max: Int) async throws -> [AMQPDelivery] {
        precondition(max > 0, "nextBatch(max: \(max)): at least 1")
        while true {
            try Task.checkCancellation()
            if let batch = try take(max: max) { return batch }
            await waitForMore()
        }
    }

    /// - Returns: nil if the caller has to wait, empty at the end.
    private func take(max: Int) throws -> [AMQPDelivery]? {
        let batch = try state.withLock { state -> [AMQPDelivery]? in
            guard state.count > 0 else {
                switch state.ending {
                case .cancelled: return []
                case .failed(let error): throw error
                case nil: return nil
                }
            }
            if state.taken == 0, state.buffer.count <= max {
                defer { state.buffer = [] }
                return state.buffer
            }
            let end = Swift.min(state.taken + max, state.buffer.count)
            let batch = Array(state.buffer[state.taken..<end])
            state.taken = end
            // Taken deliveries must not be kept alive; moving the rest once per half is linear overall.
            if state.taken * 2 >= state.buffer.count {
                state.buffer.removeFirst(state.taken)
                state.taken = 0
            }
            return batch
        }
        if let batch {
            // Rejected when handed over and not before, so that a queue full of them stays bounded by
            // the prefetch.
            settlements.add(
                batch.filter(\.isOversized)
                    .map { Settlement(epoch: $0.epoch, tag: $0.deliveryTag, verdict: .discard) })
        }
        return batch
    }

    private func waitForMore() async {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let resumeNow = state.withLock { state -> Bool in
                    // Read under the lock: the handler below takes the lock to look for the waiter, so
                    // either it finds this one or this line sees the cancellation.
                    if state.count > 0 || state.ending != nil || Task.isCancelled { return true }
                    state.waiters.append((id, continuation))
                    return false
                }
                if resumeNow { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
                guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
                return state.waiters.remove(at: index).continuation
            }
            waiter?.resume()
        }
    }

    // MARK: The connection's side

    func deliver(_ deliveries: [AMQPDelivery]) {
        wake { $0.buffer += deliveries }
    }

    /// Drops the buffer: its channel is gone and the broker delivers again.
    func discardBuffer() {
        state.withLock { state in
            state.buffer = []
            state.taken = 0
        }
    }

    /// Takes out what nobody took yet, to give it back.
    func takeBuffer() -> [AMQPDelivery] {
        state.withLock { state in
            defer {
                state.buffer = []
                state.taken = 0
            }
            return Array(state.buffer[state.taken...])
        }
    }

    /// The first ending counts.
    func end(_ error: AMQPError?) {
        wake { state in
            if state.ending == nil { state.ending = error.map { .failed($0) } ?? .cancelled }
        }
    }

    /// Resumes as many waiters as there are deliveries; all of them at the end.
    private func wake(_ change: (inout State) -> Void) {
        let waiters = state.withLock { state in
            change(&state)
            let count = state.ending != nil ? state.waiters.count : Swift.min(state.count, state.waiters.count)
            defer { state.waiters.removeFirst(count) }
            return state.waiters.prefix(count).map(\.continuation)
        }
        for waiter in waiters { waiter.resume() }
    }
}
