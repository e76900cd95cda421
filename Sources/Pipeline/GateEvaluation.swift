/// Judges one rule. Every rule comes down to a number that the candidate's must not be above, or not below.
struct GateEvaluation {
    let rule: GateRule
    let metrics: JSONValue

    var result: GateResult {
        var reference: Double?
        if let source = rule.condition.reference {
            if source == .champion, metrics["champion"]?.isNull ?? true { return notApplicable }
            guard let value = Self.number(at: rule.metric, in: metrics[source.rawValue]) else {
                return unknown("the \(source.rawValue) model has no finite \(rule.metric) to compare with")
            }
            reference = value
        }
        let (threshold, comparison) = bound(reference: reference ?? 0)
        guard let observed = Self.number(at: rule.metric, in: metrics["candidate"]) else {
            return unknown(missing, threshold: threshold, comparison: comparison, reference: reference)
        }
        guard threshold.isFinite else {
            return unknown("the threshold for \(rule.metric) is beyond all numbers", comparison: comparison)
        }
        let margin = comparison == .atMost ? threshold - observed : observed - threshold
        let passed = comparison == .atMost ? observed <= threshold : observed >= threshold
        return GateResult(
            rule: rule.name, metric: rule.metric, comparison: comparison, observed: observed, threshold: threshold,
            reference: reference, margin: margin, status: passed ? .passed : .failed,
            explanation: explanation(observed, threshold, comparison, passed) + origin(of: reference))
    }

    /// The number that must be kept, and the side to keep it on.
    private func bound(reference: Double) -> (Double, GateResult.Comparison) {
        switch rule.condition {
        case .atMost(let limit): (limit, .atMost)
        case .atLeast(let limit): (limit, .atLeast)
        case .atMostRatio(let ratio, _): (ratio * reference, .atMost)
        case .atLeastRatio(let ratio, _): (ratio * reference, .atLeast)
        case .improvement(let fraction, _, .lower): (reference - fraction * reference.magnitude, .atMost)
        case .improvement(let fraction, _, .higher): (reference + fraction * reference.magnitude, .atLeast)
        case .noWorse(_, let tolerance, let absolute, .lower):
            (reference + tolerance * reference.magnitude + absolute, .atMost)
        case .noWorse(_, let tolerance, let absolute, .higher):
            (reference - tolerance * reference.magnitude - absolute, .atLeast)
        }
    }

    private func explanation(
        _ observed: Double, _ threshold: Double, _ comparison: GateResult.Comparison, _ passed: Bool
    ) -> String {
        let (seen, limit) = NumberText.pair(observed, threshold)
        if passed {
            let word = comparison == .atMost ? "at most" : "at least"
            return "\(rule.metric) \(seen) is \(word) \(limit)"
        }
        let word = comparison == .atMost ? "above" : "below"
        return "\(rule.metric) \(seen) is \(word) \(limit) by \(NumberText.short((observed - threshold).magnitude))"
    }

    /// Where a relative threshold comes from, in brackets.
    private func origin(of reference: Double?) -> String {
        guard let reference else { return "" }
        let value = NumberText.short(reference)
        switch rule.condition {
        case .atMost, .atLeast: return ""
        case .atMostRatio(let ratio, let source), .atLeastRatio(let ratio, let source):
            return " (\(NumberText.short(ratio)) × the \(source.rawValue)'s \(value))"
        case .improvement(let fraction, let source, _):
            return " (\(NumberText.short(fraction * 100)) % better than the \(source.rawValue)'s \(value))"
        case .noWorse(let source, let tolerance, let absolute, _):
            let extra = absolute > 0 ? " and \(NumberText.short(absolute))" : ""
            return
                " (the \(source.rawValue)'s \(value) with a tolerance of \(NumberText.short(tolerance * 100)) %\(extra))"
        }
    }

    private var missing: String {
        Self.value(at: rule.metric, in: metrics["candidate"]) == nil
            ? "\(rule.metric) is missing" : "\(rule.metric) is not a finite number"
    }

    private var notApplicable: GateResult {
        GateResult(
            rule: rule.name, metric: rule.metric, comparison: bound(reference: 0).1,
            observed: Self.number(at: rule.metric, in: metrics["candidate"]), status: .notApplicable,
            explanation: "\(rule.metric) is not compared: there is no champion yet")
    }

    private func unknown(
        _ explanation: String, threshold: Double? = nil, comparison: GateResult.Comparison? = nil,
        reference: Double? = nil
    ) -> GateResult {
        GateResult(
            rule: rule.name, metric: rule.metric, comparison: comparison ?? bound(reference: 0).1,
            observed: Self.number(at: rule.metric, in: metrics["candidate"]),
            threshold: threshold.flatMap { $0.isFinite ? $0 : nil }, reference: reference, status: .failed,
            explanation: explanation)
    }

    private static func number(at path: String, in metrics: JSONValue?) -> Double? {
        guard let number = value(at: path, in: metrics)?.doubleValue, number.isFinite else { return nil }
        return number
    }

    /// The member at a dotted path; a member whose name has the dots in it is found as well.
    private static func value(at path: String, in metrics: JSONValue?) -> JSONValue? {
        if let whole = metrics?[path] { return whole }
        return path.split(separator: ".").reduce(metrics) { $0?[String($1)] }
    }
}
