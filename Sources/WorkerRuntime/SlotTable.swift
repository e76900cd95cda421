import Glibc
import Pipeline
import Synchronization

/// Which tasks run, and which of them the broker no longer counts.
final class SlotTable: Sendable {
    typealias Slot = UInt64

    private struct Entry {
        var task: TaskID
        var isAcked = false
    }

    private struct State {
        var entries: [Slot: Entry] = [:]
        var next: Slot = 0
        var revision: UInt64 = 0
        /// Some task was acknowledged early, or such a task ended: the subscription's prefetch is wrong now.
        var isSubscriptionStale = false
        var isSlotAwaited = false
        var change = DrainSignal()
    }

    private let count: Int
    private let state = Mutex(State())

    init(count: Int) {
        self.count = count
    }

    var busy: Int { state.withLock { $0.entries.count } }
    var revision: UInt64 { state.withLock(\.revision) }
    var tasks: [TaskID] {
        state.withLock { state in state.entries.keys.sorted().compactMap { state.entries[$0]?.task } }
    }

    func take(_ task: TaskID) -> Slot {
        state.withLock { state in
            state.next += 1
            state.revision += 1
            state.entries[state.next] = Entry(task: task)
            return state.next
        }
    }

    func markAcked(_ slot: Slot) {
        change { state in
            state.entries[slot]?.isAcked = true
            state.isSubscriptionStale = true
        }
    }

    func give(back slot: Slot) {
        change { state in
            if state.entries.removeValue(forKey: slot)?.isAcked == true { state.isSubscriptionStale = true }
        }
    }

    var hasPendingChange: Bool { state.withLock(\.isSubscriptionStale) }

    /// True once after every change of the number of slots that the broker may fill.
    func needsNewSubscription() -> Bool {
        state.withLock { state in
            defer { state.isSubscriptionStale = false }
            return state.isSubscriptionStale
        }
    }

    /// Waits until the subscription is stale.
    func waitForChange(or drain: DrainSignal) async {
        while !hasPendingChange, !drain.isSet, !Task.isCancelled {
            await next(or: drain) { $0.isSubscriptionStale }
        }
    }

    /// Waits for a free slot; returns how many there are.
    func waitForFree(or drain: DrainSignal) async -> Int {
        state.withLock { $0.isSlotAwaited = true }
        defer { state.withLock { $0.isSlotAwaited = false } }
        while !drain.isSet, !Task.isCancelled {
            let free = count - busy
            if free > 0 { return free }
            await next(or: drain) { $0.entries.count < self.count }
        }
        return 0
    }

    private func change(_ body: (inout State) -> Void) {
        let signal = state.withLock { state -> DrainSignal? in
            body(&state)
            state.revision += 1
            // A task that ends is nobody's business as a rule, and thousands end every second.
            guard state.isSubscriptionStale || state.isSlotAwaited else { return nil }
            defer { state.change = DrainSignal() }
            return state.change
        }
        signal?.set()
    }

    private func next(or drain: DrainSignal, unless isThere: (borrowing State) -> Bool) async {
        let signal = state.withLock { state in isThere(state) ? nil : state.change }
        guard let signal else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await signal.wait() }
            group.addTask { await drain.wait() }
            await group.next()
            group.cancelAll()
        }
    }
}

enum ProcessID {
    static var current: pid_t { getpid() }
}
