package import Metrics
import Synchronization

/// The process's metrics: the backend of swift-metrics, and their text for Prometheus.
///
/// A label set is bounded: past `seriesLimit` series of one metric the rest is pooled in a series with
/// `overflow="true"`. A metric used with another type or other labels than the catalogue declares is
/// not recorded. Both are counted in `martlet_metrics_dropped_series_total`.
package final class MetricRegistry: MetricsFactory, Sendable {
    static let droppedName = "martlet_metrics_dropped_series_total"
    /// Metrics outside the catalogue that are accepted; a bound for names made at run time.
    static let familyLimit = 500

    private let catalogue: MetricCatalogue
    private let seriesLimit: Int
    private let families = Mutex<[String: MetricFamily]>([:])

    /// - Parameter seriesLimit: series of one metric, without the overflow series.
    package init(catalogue: MetricCatalogue = .martlet, seriesLimit: Int = 200) {
        self.catalogue = catalogue.adding(MetricCatalogue.own)
        self.seriesLimit = seriesLimit
    }

    /// All metrics in Prometheus's text format 0.0.4, with those of the process.
    package func exposition() -> String {
        var text = Exposition()
        let snapshot = families.withLock { $0 }
        for name in snapshot.keys.sorted() {
            if let family = snapshot[name] { text.append(family) }
        }
        text.append(ProcessMetrics.read())
        return text.text
    }

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        counter(label, dimensions)
    }

    package func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        counter(label, dimensions)
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        gauge(label, dimensions)
    }

    /// A gauge when it does not aggregate, else a histogram.
    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        aggregate ? histogram(label, dimensions, isTimer: false) : gauge(label, dimensions)
    }

    /// A histogram in seconds.
    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        histogram(label, dimensions, isTimer: true)
    }

    package func destroyCounter(_ handler: any CounterHandler) {}

    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}

    package func destroyMeter(_ handler: any MeterHandler) {
        (handler as? GaugeSeries).map(forget)
    }

    package func destroyRecorder(_ handler: any RecorderHandler) {
        (handler as? GaugeSeries).map(forget)
    }

    package func destroyTimer(_ handler: any TimerHandler) {}

    private func counter(_ label: String, _ dimensions: [(String, String)]) -> CounterSeries {
        guard case .counter(let series) = series(label, dimensions, .counter, isTimer: false) else {
            return CounterSeries()
        }
        return series
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeSeries {
        guard case .gauge(let series) = series(label, dimensions, .gauge, isTimer: false) else { return GaugeSeries() }
        return series
    }

    private func histogram(_ label: String, _ dimensions: [(String, String)], isTimer: Bool) -> HistogramSeries {
        guard case .histogram(let series) = series(label, dimensions, .histogram, isTimer: isTimer) else {
            return HistogramSeries(bounds: [])
        }
        return series
    }

    /// The series to record in; nil when it must not be recorded.
    private func series(
        _ label: String, _ dimensions: [(String, String)], _ kind: MetricDefinition.Kind, isTimer: Bool
    ) -> MetricFamily.Series? {
        let declared = catalogue[label]
        let name = declared?.name ?? MetricName.exposed(label, kind: kind, isTimer: isTimer)
        let definition =
            declared ?? catalogue[name]
            ?? MetricDefinition(
                name: name, kind: kind, help: "Reported as '\(label)' by a library.", labels: [],
                buckets: kind == .histogram ? MetricDefinition.latencyBuckets : [])
        let isDeclared = catalogue[name] != nil
        let labels: String? =
            isDeclared
            ? Labels.render(dimensions, declared: definition.labels)
            : Labels.render(dimensions.map { (MetricName.sanitised($0.0), $0.1) })
        return families.withLock { families in
            guard let labels, definition.kind == kind, families[name] != nil || families.count < Self.familyLimit
            else {
                countDropped(families.count < Self.familyLimit ? name : "other", in: &families)
                return nil
            }
            var family = families.removeValue(forKey: name) ?? MetricFamily(definition: definition)
            guard family.definition.kind == kind else {
                families[name] = family
                countDropped(name, in: &families)
                return nil
            }
            let (series, isOverflow) = family.series(labels: labels, limit: seriesLimit)
            families[name] = family
            if isOverflow { countDropped(name, in: &families) }
            return series
        }
    }

    private func countDropped(_ name: String, in families: inout [String: MetricFamily]) {
        guard let definition = catalogue[Self.droppedName] else { return }
        var family = families.removeValue(forKey: Self.droppedName) ?? MetricFamily(definition: definition)
        // By metric, so at most `familyLimit` series and never an overflow of its own.
        let labels = Labels.render([("metric", name)])
        if case .counter(let series) = family.series(labels: labels, limit: Self.familyLimit).series {
            series.increment(by: Int64(1))
        }
        families[Self.droppedName] = family
    }

    private func forget(_ gauge: GaugeSeries) {
        families.withLock { families in
            for name in families.keys {
                families[name]?.remove(gauge)
            }
        }
    }
}
