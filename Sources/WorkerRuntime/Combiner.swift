import Synchronization

/// Does together what several callers ask for at the same time.
///
/// Nobody waits for company: a request is made at once when none is under way, and what is asked for meanwhile goes with
/// the next. One request for many costs little more than for one.
package final class Combiner<Item: Sendable, Answer: Sendable>: Sendable {
    private struct Entry {
        var id: UInt64
        var item: Item
        var cost: Int
    }

    private struct State {
        var queue: [Entry] = []
        var callers: [UInt64: CheckedContinuation<Answer, any Error>] = [:]
        var nextID: UInt64 = 0
        var isBusy = false
    }

    /// What a caller has to do once its item is in the queue.
    private enum Next {
        case wait, work, giveUp
    }

    private let state = Mutex(State())
    private let limit: Int
    private let perform: @Sendable ([Item]) async -> [Result<Answer, any Error>]

    /// - Parameters:
    ///   - limit: the cost of one request, at most, unless a single item has more.
    ///   - perform: makes one request; an answer for each item, in order.
    package init(limit: Int, perform: @escaping @Sendable ([Item]) async -> [Result<Answer, any Error>]) {
        self.limit = limit
        self.perform = perform
    }

    /// Items that no request has taken up yet.
    package var waiting: Int { state.withLock(\.queue.count) }

    /// - Throws: what the request ended with; `CancellationError`, though the request may be under way by then.
    package func ask(for item: Item, cost: Int = 1) async throws -> Answer {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let next = state.withLock { state -> Next in
                    // The handler may have come first, and found nobody.
                    guard !Task.isCancelled else { return .giveUp }
                    state.callers[id] = continuation
                    state.queue.append(Entry(id: id, item: item, cost: cost))
                    defer { state.isBusy = true }
                    return state.isBusy ? .wait : .work
                }
                switch next {
                case .wait: break
                // Unstructured, as the caller whose request this begins with must not wait for those that join; and
                // detached, as it is not only that caller's: its trace must not be on the others' log lines.
                case .work: Task.detached { await self.work() }
                case .giveUp: continuation.resume(throwing: CancellationError())
                }
            }
        } onCancel: {
            answer(id, .failure(CancellationError()))
        }
    }

    private func work() async {
        while let batch = takeBatch() {
            let answers = await perform(batch.map(\.item))
            for (entry, result) in zip(batch, answers) { answer(entry.id, result) }
        }
    }

    /// Nil when there is nothing left to do.
    private func takeBatch() -> [Entry]? {
        state.withLock { state in
            // What nobody waits for any more is not asked for.
            state.queue.removeAll { state.callers[$0.id] == nil }
            var cost = 0
            let batch = state.queue.prefix { entry in
                cost += entry.cost
                return cost <= limit || cost == entry.cost
            }
            state.queue.removeFirst(batch.count)
            state.isBusy = !batch.isEmpty
            return batch.isEmpty ? nil : Array(batch)
        }
    }

    private func answer(_ id: UInt64, _ result: Result<Answer, any Error>) {
        state.withLock { $0.callers.removeValue(forKey: id) }?.resume(with: result)
    }
}
