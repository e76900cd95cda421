/// The quality gate: a model passes when every rule does.
package struct GatePolicy: Hashable, Sendable {
    package static let maximumRules = 100

    package var rules: [GateRule]

    /// - Throws: ``PipelineError`` when there is no rule: a gate that refuses nothing is a mistake, not a policy.
    package init(rules: [GateRule]) throws(PipelineError) {
        guard !rules.isEmpty else {
            throw PipelineError(
                .invalidGate, "the gate has no rules: name at least one, such as {metric: perplexity, max: 20}")
        }
        guard rules.count <= Self.maximumRules else {
            throw PipelineError(.invalidGate, "the gate has \(rules.count) rules: \(Self.maximumRules) are the most")
        }
        var seen: Set<String> = []
        for rule in rules where !seen.insert(rule.name).inserted {
            throw PipelineError(
                .invalidGate, "the gate has two rules named \"\(rule.name)\": give each its own name")
        }
        self.rules = rules
    }

    /// Judges a model.
    /// - Parameter metrics: `{candidate: {…}, base: {…}, champion: {…}}`. Without a champion, rules that compare with
    ///   it do not apply.
    package func evaluate(metrics: JSONValue) -> GateDecision {
        let results = rules.map { GateEvaluation(rule: $0, metrics: metrics).result }
        return GateDecision(isAccepted: results.allSatisfy(\.passed), results: results)
    }
}
