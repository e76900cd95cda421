import Metrics
import Synchronization

/// One gauge series: the last value, or a level that goes up and down.
final class GaugeSeries: MeterHandler, RecorderHandler {
    /// The bits of a Double.
    private let bits = Atomic<UInt64>(0)

    var value: Double {
        Double(bitPattern: bits.load(ordering: .relaxed))
    }

    func set(_ value: Int64) {
        set(Double(value))
    }

    func set(_ value: Double) {
        bits.store(value.bitPattern, ordering: .relaxed)
    }

    func increment(by amount: Double) {
        bits.update { $0 + amount }
    }

    func decrement(by amount: Double) {
        bits.update { $0 - amount }
    }

    func record(_ value: Int64) {
        set(Double(value))
    }

    func record(_ value: Double) {
        set(value)
    }
}
