import Metrics
import Synchronization

/// One histogram series. A short lock keeps count, sum and buckets consistent; recording allocates nothing.
final class HistogramSeries: RecorderHandler, TimerHandler {
    /// A moment's values; `cumulative` has one more entry than `bounds`, for +Inf.
    struct Snapshot {
        let cumulative: [UInt64]
        let sum: Double
    }

    private struct State {
        var counts: [UInt64]
        var sum = 0.0
    }

    let bounds: [Double]
    private let state: Mutex<State>

    init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    func snapshot() -> Snapshot {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        var total: UInt64 = 0
        let cumulative = counts.map { count in
            total += count
            return total
        }
        return Snapshot(cumulative: cumulative, sum: sum)
    }

    /// Values that are not finite are ignored: they would make the sum useless for ever.
    func record(_ value: Double) {
        guard value.isFinite else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    func record(_ value: Int64) {
        record(Double(value))
    }

    /// A timer's value, in seconds.
    func recordNanoseconds(_ duration: Int64) {
        record(Double(duration) / 1e9)
    }
}
