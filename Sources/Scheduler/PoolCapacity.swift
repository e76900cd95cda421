import Synchronization

/// How many tasks the workers of each pool can run at once, as far as is known.
final class PoolCapacity: Sendable {
    private let slots = Mutex<[String: Int]>([:])

    func set(_ value: [String: Int]) {
        slots.withLock { $0 = value }
    }

    func slots(of pool: String) -> Int {
        slots.withLock { $0[pool] ?? 0 }
    }
}
