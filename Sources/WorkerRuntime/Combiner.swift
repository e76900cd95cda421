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
        try Task.checkCancellation()
        guard begin() else { return try await join(item, cost) }
        // Alone, as if there were nothing in between: its cancellation is nobody else's.
        let answers = await perform([item])
        goOn()
        guard let answer = answers.first else { throw CancellationError() }
        return try answer.get()
    }

    /// Whether no request was under way; one is now.
    private func begin() -> Bool {
        state.withLock { state in
            defer { state.isBusy = true }
            return !state.isBusy
        }
    }

    /// Serves those who came meanwhile.
    private func goOn() {
        let hasMore = state.withLock { state in
            state.isBusy = !state.queue.isEmpty
            return state.isBusy
        }
        // Unstructured, as nobody should wait for what others want, and detached: one caller's trace must not be on the
        // others' log lines.
        if hasMore { Task.detached { await self.work() } }
    }

    private func join(_ item: Item, _ cost: Int) async throws -> Answer {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (isCancelled, isFree) = state.withLock { state -> (Bool, Bool) in
                    // The handler may have come first, and found nobody.
                    guard !Task.isCancelled else { return (true, false) }
                    state.callers[id] = continuation
                    state.queue.append(Entry(id: id, item: item, cost: cost))
                    // The request that was under way may have ended since this caller looked.
                    defer { state.isBusy = true }
                    return (false, !state.isBusy)
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) }
                if isFree { Task.detached { await self.work() } }
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
