import Synchronization

/// How much work each pool takes, as far as this scheduler knows.
///
/// A pool's *credit* is the number of its tasks that may be sent in the moment they become ready. A dispatch round that
/// left nothing waiting sets it to the room in the pool's window; a task that is sent takes one, a task that ends gives
/// one back. Where tasks wait there is no credit: what is more urgent goes first, and only the ledger knows what that is.
/// Another scheduler's work is not seen, nor what a credit was taken for while a round counts, so that a window may be filled
/// more than once; the next round counts anew.
final class PoolCapacity: Sendable {
    private struct State {
        var slots: [String: Int] = [:]
        var credit: [String: Int] = [:]
    }

    private let state = Mutex(State())

    func set(_ value: [String: Int]) {
        state.withLock { $0.slots = value }
    }

    /// How many tasks the workers of the pool run at once.
    func slots(of pool: String) -> Int {
        state.withLock { $0.slots[pool] ?? 0 }
    }

    func setCredit(_ credit: Int, of pool: String) {
        state.withLock { $0.credit[pool] = max(0, credit) }
    }

    /// Whether nothing of the pool waits, as far as is known.
    func hasCredit(_ pool: String) -> Bool {
        state.withLock { $0.credit[pool] ?? 0 > 0 }
    }

    /// Whether a task of the pool may be sent at once; takes its credit if so.
    func grant(_ pool: String) -> Bool {
        state.withLock { state in
            guard let credit = state.credit[pool], credit > 0 else { return false }
            state.credit[pool] = credit - 1
            return true
        }
    }

    /// For tasks that ended, or were granted and not sent after all. A pool without credit gets none: something waits.
    func give(back count: Int, to pool: String, atMost window: Int) {
        state.withLock { state in
            guard let credit = state.credit[pool], credit > 0 else { return }
            state.credit[pool] = min(credit + count, window)
        }
    }
}

/// The credits that one transaction has taken, to be given back if it fails.
final class Grants: Sendable {
    private let capacity: PoolCapacity
    private let taken = Mutex<[String: Int]>([:])

    init(_ capacity: PoolCapacity) {
        self.capacity = capacity
    }

    func grant(_ pool: String) -> Bool {
        guard capacity.grant(pool) else { return false }
        taken.withLock { $0[pool, default: 0] += 1 }
        return true
    }

    func revoke(atMost window: (String) -> Int) {
        for (pool, count) in taken.withLock(\.self) { capacity.give(back: count, to: pool, atMost: window(pool)) }
    }
}
