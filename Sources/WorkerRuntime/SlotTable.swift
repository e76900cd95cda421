import Glibc
import Pipeline
import Synchronization

/// Which tasks run, and how many more the broker may send.
///
/// A subscription's prefetch counts its deliveries that are not acknowledged. Tasks that are acknowledged when claimed,
/// and tasks of an earlier subscription, take a slot without counting; whenever that makes the broker's count differ
/// from the free slots, the subscription is stale and must be replaced by one that fits.
final class SlotTable: Sendable {
    typealias Slot = UInt64

    private struct Entry {
        var task: TaskID
        /// The subscription whose prefetch it takes up; nil when none.
        var subscription: UInt64?
    }

    private struct State {
        var entries: [Slot: Entry] = [:]
        var next: Slot = 0
        var revision: UInt64 = 0
        var subscription: UInt64 = 0
        var isSubscribed = false
        var isStale = false
        var isSlotAwaited = false
        var change = DrainSignal()
        /// Resumed once no deliveries come any more.
        var pauses: [DrainSignal] = []
    }

    private let count: Int
    private let state = Mutex(State())

    init(count: Int) {
        self.count = count
    }

    var busy: Int { state.withLock { $0.entries.count } }
    var revision: UInt64 { state.withLock(\.revision) }
    var isStale: Bool { state.withLock(\.isStale) }
    var tasks: [TaskID] {
        state.withLock { state in state.entries.keys.sorted().compactMap { state.entries[$0]?.task } }
    }

    // MARK: Slots

    /// Nil when every slot is taken: then the broker sent too much, and the subscription is stale.
    func take(_ task: TaskID) -> Slot? {
        change { state in
            guard state.entries.count < count else {
                state.isStale = true
                return nil
            }
            state.next += 1
            state.entries[state.next] = Entry(task: task, subscription: state.subscription)
            return state.next
        }
    }

    func give(back slot: Slot) {
        change { state in
            guard let entry = state.entries.removeValue(forKey: slot) else { return }
            // The slot of a task that took up no prefetch is not filled by itself.
            if entry.subscription != state.subscription { state.isStale = true }
        }
    }

    /// Before a task is acknowledged while it runs: returns when the broker sends no more in its place.
    func release(prefetchOf slot: Slot) async {
        let pause = change { state -> DrainSignal? in
            let isCurrent = state.entries[slot]?.subscription == state.subscription
            state.entries[slot]?.subscription = nil
            guard isCurrent, state.isSubscribed else { return nil }
            state.isStale = true
            let pause = DrainSignal()
            state.pauses.append(pause)
            return pause
        }
        await pause?.wait()
    }

    // MARK: Subscriptions

    /// A new subscription for all slots that are free.
    func subscribe() {
        change { state in
            state.subscription += 1
            state.isSubscribed = true
        }
    }

    /// The subscription has ended: nothing comes until the next.
    func unsubscribe() {
        let pauses = change { state in
            state.isSubscribed = false
            defer { state.pauses = [] }
            return state.pauses
        }
        for pause in pauses { pause.set() }
    }

    /// Waits until the subscription is stale.
    func waitUntilStale(or drain: DrainSignal) async {
        while !drain.isSet, !Task.isCancelled {
            let signal = state.withLock { state in state.isStale ? nil : state.change }
            guard let signal else { return }
            await Self.wait(for: signal, or: drain)
        }
    }

    /// Waits for a free slot; returns how many there are, 0 when the worker stops.
    func waitForFree(or drain: DrainSignal) async -> Int {
        while !drain.isSet, !Task.isCancelled {
            let (free, signal) = state.withLock { state in
                let free = count - state.entries.count
                state.isSlotAwaited = free == 0
                // The next subscription is made for what is free now.
                if free > 0 { state.isStale = false }
                return (free, state.change)
            }
            if free > 0 { return free }
            await Self.wait(for: signal, or: drain)
        }
        return 0
    }

    @discardableResult
    private func change<Value: Sendable>(_ body: (inout State) -> Value) -> Value {
        let (value, signal) = state.withLock { state -> (Value, DrainSignal?) in
            let value = body(&state)
            state.revision += 1
            // A task that ends is nobody's business as a rule, and thousands end every second.
            guard state.isStale || state.isSlotAwaited else { return (value, nil) }
            defer { state.change = DrainSignal() }
            return (value, state.change)
        }
        signal?.set()
        return value
    }

    private static func wait(for signal: DrainSignal, or drain: DrainSignal) async {
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
