/// One condition on a model's metrics.
package struct GateRule: Hashable, Sendable {
    /// Whose metrics are compared with.
    package enum Reference: String, Hashable, Sendable, Codable, CaseIterable {
        case base
        case champion
    }

    /// Which way is better.
    package enum Direction: String, Hashable, Sendable, Codable, CaseIterable {
        case lower
        case higher
    }

    package enum Condition: Hashable, Sendable {
        /// `max: 20`
        case atMost(Double)
        /// `min: 0.3`
        case atLeast(Double)
        /// `max_ratio_to: base`, `ratio: 0.7`: at most that many times the reference's value.
        case atMostRatio(Double, to: Reference)
        /// `min_ratio_to: base`, `ratio: 1.1`
        case atLeastRatio(Double, to: Reference)
        /// `min_improvement_over: base`, `fraction: 0.3`: better by at least this share of the reference's value.
        case improvement(Double, over: Reference, better: Direction)
        /// `no_worse_than: champion`, `tolerance: 0.02`, `absolute_tolerance: 0.01`: worse by at most this share of
        /// the reference's value plus this amount.
        case noWorse(than: Reference, tolerance: Double, absoluteTolerance: Double, better: Direction)

        package var reference: Reference? {
            switch self {
            case .atMost, .atLeast: nil
            case .atMostRatio(_, let reference), .atLeastRatio(_, let reference), .improvement(_, let reference, _),
                .noWorse(let reference, _, _, _):
                reference
            }
        }
    }

    /// Unique in its policy.
    package var name: String
    /// The path of the metric below the candidate's metrics, such as `perplexity` or `generation.rouge_l.mean`.
    package var metric: String
    package var condition: Condition

    package init(name: String, metric: String, condition: Condition) {
        self.name = name
        self.metric = metric
        self.condition = condition
    }

    /// Which way a metric of a usual name is better; nil for a name that does not say.
    static func usualDirection(of metric: String) -> Direction? {
        let name = metric.lowercased()
        func has(_ words: [String]) -> Bool {
            words.contains { word in name.contains(word) }
        }
        if has(["loss", "perplexity", "repetition", "verbatim", "copy", "empty", "truncated", "latency", "error"]) {
            return .lower
        }
        if has(["accuracy", "f1", "rouge", "bleu", "exact_match", "per_second"]) { return .higher }
        return nil
    }
}
