import Synchronization

/// Counted on the connection's thread, read anywhere.
final class ConsumerCounters: Sendable {
    private let dropped = Atomic<UInt64>(0)
    private let oversized = Atomic<UInt64>(0)

    var droppedSettlements: UInt64 { dropped.load(ordering: .relaxed) }
    var oversizedDeliveries: UInt64 { oversized.load(ordering: .relaxed) }

    func settlementsDropped(_ count: Int) { dropped.add(UInt64(count), ordering: .relaxed) }
    func oversizedDelivered() { oversized.add(1, ordering: .relaxed) }
}
