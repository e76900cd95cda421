/// What one metric is: its name with its unit, its type, what it means, its labels.
package struct MetricDefinition: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable {
        case counter, gauge, histogram
    }

    /// As Prometheus shows it: base units, `_total` on counters.
    package let name: String
    package let kind: Kind
    /// One sentence for HELP.
    package let help: String
    /// The names of the labels; values must come from small sets (a pool, an outcome; never an id).
    package let labels: [String]
    /// Upper bounds of a histogram's buckets in the metric's unit, ascending, without +Inf.
    package let buckets: [Double]

    package static func counter(_ name: String, _ help: String, labels: [String] = []) -> MetricDefinition {
        MetricDefinition(name: name, kind: .counter, help: help, labels: labels, buckets: [])
    }

    package static func gauge(_ name: String, _ help: String, labels: [String] = []) -> MetricDefinition {
        MetricDefinition(name: name, kind: .gauge, help: help, labels: labels, buckets: [])
    }

    /// - Parameter buckets: `latencyBuckets` by default.
    package static func histogram(
        _ name: String, _ help: String, labels: [String] = [], buckets: [Double] = latencyBuckets
    ) -> MetricDefinition {
        MetricDefinition(name: name, kind: .histogram, help: help, labels: labels, buckets: buckets)
    }

    /// Seconds, for messages and requests: 0.5 ms to 10 s.
    package static let latencyBuckets = [
        0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]
    /// Seconds, for answers of models: 1 ms to 10 min.
    package static let answerBuckets: [Double] = [
        0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
    ]
    /// Seconds, for stages: 10 ms to 4 h.
    package static let durationBuckets: [Double] = [
        0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400,
    ]
}
