/// All series of one metric.
struct MetricFamily {
    enum Series {
        case counter(CounterSeries)
        case gauge(GaugeSeries)
        case histogram(HistogramSeries)
    }

    let definition: MetricDefinition
    /// By rendered labels.
    private(set) var series: [String: Series] = [:]

    /// The labels of the one series that takes what is over the limit.
    static let overflowLabels = "overflow=\"true\""

    init(definition: MetricDefinition) {
        self.definition = definition
    }

    /// The series with these labels, made when there is room for it.
    /// - Returns: and whether the overflow series stands in for it.
    mutating func series(labels: String, limit: Int) -> (series: Series, isOverflow: Bool) {
        if let known = series[labels] { return (known, false) }
        let isOverflow = series.count >= limit
        let key = isOverflow ? Self.overflowLabels : labels
        if let known = series[key] { return (known, isOverflow) }
        let made: Series =
            switch definition.kind {
            case .counter: .counter(CounterSeries())
            case .gauge: .gauge(GaugeSeries())
            case .histogram: .histogram(HistogramSeries(bounds: definition.buckets))
            }
        series[key] = made
        return (made, isOverflow)
    }

    /// Forgets a gauge: what it measured is gone. Cumulative series stay, so that rates stay right.
    mutating func remove(_ gauge: GaugeSeries) {
        let keys = series.filter { entry in
            if case .gauge(let held) = entry.value { return held === gauge }
            return false
        }
        for key in keys.keys { series[key] = nil }
    }
}
