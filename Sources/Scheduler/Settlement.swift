import AMQPClient
import Synchronization

/// Acknowledges a delivery when all that was in it is stored.
final class Settlement: Sendable {
    let delivery: AMQPDelivery
    private let open: Atomic<Int>

    /// - Parameter parts: how often ``settle()`` will be called.
    init(_ delivery: AMQPDelivery, parts: Int = 1) {
        self.delivery = delivery
        open = Atomic(parts)
    }

    /// One part is stored.
    func settle() {
        if open.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { delivery.ack() }
    }
}
