/// What became of one rule.
package struct GateResult: Hashable, Sendable, Codable {
    package enum Comparison: String, Hashable, Sendable, Codable {
        case atMost = "at-most"
        case atLeast = "at-least"
    }

    package enum Status: String, Hashable, Sendable, Codable {
        case passed
        case failed
        /// There was nothing to compare with; counts as passed.
        case notApplicable = "not-applicable"
    }

    /// The rule's name.
    package var rule: String
    package var metric: String
    package var comparison: Comparison
    /// Nil when the metric is missing or not finite.
    package var observed: Double?
    /// What ``observed`` was held against.
    package var threshold: Double?
    /// The value of the base model or the champion that the threshold comes from.
    package var reference: Double?
    /// How far ``observed`` is on the good side of ``threshold``; negative when the rule failed, by that much.
    package var margin: Double?
    package var status: Status
    /// One sentence for people.
    package var explanation: String

    package var passed: Bool { status != .failed }

    package init(
        rule: String, metric: String, comparison: Comparison, observed: Double? = nil, threshold: Double? = nil,
        reference: Double? = nil, margin: Double? = nil, status: Status, explanation: String
    ) {
        self.rule = rule
        self.metric = metric
        self.comparison = comparison
        self.observed = observed
        self.threshold = threshold
        self.reference = reference
        self.margin = margin
        self.status = status
        self.explanation = explanation
    }
}

/// What the gate says of a model, with every rule's numbers.
package struct GateDecision: Hashable, Sendable, Codable {
    private enum CodingKeys: String, CodingKey {
        case isAccepted = "accepted"
        case results
    }

    package var isAccepted: Bool
    package var results: [GateResult]

    package init(isAccepted: Bool, results: [GateResult]) {
        self.isAccepted = isAccepted
        self.results = results
    }

    /// Which rules failed, by how much: `perplexity 812.4 is above 20.0 by 792.4; …`. Empty when none did.
    package var failureSummary: String {
        results.filter { !$0.passed }.map(\.explanation).joined(separator: "; ")
    }
}
