import Metrics
import Synchronization

/// One counter series: whole and fractional increments, no lock and no allocation.
final class CounterSeries: CounterHandler, FloatingPointCounterHandler {
    private let whole = Atomic<Int64>(0)
    /// The bits of a Double.
    private let fraction = Atomic<UInt64>(0)

    var value: Double {
        Double(whole.load(ordering: .relaxed)) + Double(bitPattern: fraction.load(ordering: .relaxed))
    }

    /// Negative amounts are ignored: a counter never goes down.
    func increment(by amount: Int64) {
        guard amount > 0 else { return }
        whole.wrappingAdd(amount, ordering: .relaxed)
    }

    /// Negative and non-finite amounts are ignored.
    func increment(by amount: Double) {
        guard amount > 0, amount.isFinite else { return }
        fraction.update { $0 + amount }
    }

    func reset() {
        whole.store(0, ordering: .relaxed)
        fraction.store(0, ordering: .relaxed)
    }
}

extension Atomic where Value == UInt64 {
    /// Replaces the Double whose bits this holds.
    borrowing func update(_ change: (Double) -> Double) {
        var current = load(ordering: .relaxed)
        while true {
            let wanted = change(Double(bitPattern: current)).bitPattern
            let (exchanged, original) = weakCompareExchange(
                expected: current, desired: wanted, ordering: .relaxed)
            if exchanged { return }
            current = original
        }
    }
}
