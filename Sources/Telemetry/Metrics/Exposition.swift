/// Prometheus's text format, version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
struct Exposition {
    /// The value of the Content-Type header.
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var text = ""

    mutating func append(_ family: MetricFamily) {
        guard !family.series.isEmpty else { return }
        header(family.definition)
        let name = family.definition.name
        for labels in family.series.keys.sorted() {
            switch family.series[labels] {
            case .counter(let series): sample(name, labels, series.value)
            case .gauge(let series): sample(name, labels, series.value)
            case .histogram(let series): histogram(name, labels, series)
            case nil: break
            }
        }
    }

    mutating func append(_ values: [(MetricDefinition, Double)]) {
        for (definition, value) in values {
            header(definition)
            sample(definition.name, "", value)
        }
    }

    private mutating func header(_ definition: MetricDefinition) {
        let help = definition.help.split(separator: "\n").joined(separator: " ").split(separator: "\\").joined(
            separator: "/")
        text += "# HELP \(definition.name) \(help)\n# TYPE \(definition.name) \(definition.kind.rawValue)\n"
    }

    private mutating func histogram(_ name: String, _ labels: String, _ series: HistogramSeries) {
        let snapshot = series.snapshot()
        let prefix = labels.isEmpty ? "" : labels + ","
        for (index, count) in snapshot.cumulative.enumerated() {
            let bound = index < series.bounds.count ? Self.number(series.bounds[index]) : "+Inf"
            text += "\(name)_bucket{\(prefix)le=\"\(bound)\"} \(count)\n"
        }
        sample("\(name)_sum", labels, snapshot.sum)
        sample("\(name)_count", labels, Double(snapshot.cumulative.last ?? 0))
    }

    private mutating func sample(_ name: String, _ labels: String, _ value: Double) {
        text += labels.isEmpty ? "\(name) \(Self.number(value))\n" : "\(name){\(labels)} \(Self.number(value))\n"
    }

    /// Whole numbers without a fraction; `NaN`, `+Inf` and `-Inf` as the format spells them.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        if value.rounded() == value, abs(value) < 9e15 { return String(Int64(value)) }
        return "\(value)"
    }
}
