extension GatePolicy {
    /// Reads `{rules: [{name, metric, …}]}`. A rule has exactly one condition:
    ///
    ///     max: 20                                        at most
    ///     min: 0.3                                       at least
    ///     max_ratio_to: base, ratio: 0.7                 at most 0.7 × the base model's
    ///     min_ratio_to: base, ratio: 1.1                 at least 1.1 × the base model's
    ///     min_improvement_over: base, fraction: 0.3      better than the base model's by 30 %
    ///     no_worse_than: champion, tolerance: 0.02       worse than the champion's by at most 2 %
    ///
    /// The last two need `better: lower|higher` where the metric's name does not say.
    /// - Throws: ``PipelineError`` naming the rule and the member that is wrong.
    package init(json: JSONValue) throws(PipelineError) {
        guard let members = json.objectValue else {
            throw PipelineError(.invalidGate, "the gate must be an object with rules, not \(json.typeName)")
        }
        for key in members.keys.sorted() where key != "rules" {
            let advice = Suggestion.advice(for: key, in: ["rules"], plural: "keys")
            throw PipelineError(.invalidGate, "the gate has no key \"\(key)\": \(advice)")
        }
        guard let list = members["rules"]?.arrayValue else {
            throw PipelineError(.invalidGate, "the gate needs rules: a list such as [{metric: perplexity, max: 20}]")
        }
        var rules: [GateRule] = []
        for (index, element) in list.enumerated() {
            rules.append(try GateRuleReader(element, index: index).rule())
        }
        try self.init(rules: rules)
    }
}

/// Reads one rule of a gate.
private struct GateRuleReader {
    private static let conditions = [
        "max", "min", "max_ratio_to", "min_ratio_to", "min_improvement_over", "no_worse_than",
    ]
    private static let companions = [
        "max": [], "min": [], "max_ratio_to": ["ratio"], "min_ratio_to": ["ratio"],
        "min_improvement_over": ["fraction", "better"], "no_worse_than": ["tolerance", "absolute_tolerance", "better"],
    ]

    private let members: [String: JSONValue]
    /// How messages name the rule.
    private let label: String

    init(_ json: JSONValue, index: Int) throws(PipelineError) {
        guard let members = json.objectValue else {
            throw PipelineError(.invalidGate, "gate rule \(index + 1) must be an object, not \(json.typeName)")
        }
        self.members = members
        let name = members["name"]?.stringValue ?? members["metric"]?.stringValue
        label = "gate rule \(index + 1)" + (name.map { " (\($0.prefix(80)))" } ?? "")
    }

    func rule() throws(PipelineError) -> GateRule {
        guard var metric = members["metric"]?.stringValue, !metric.isEmpty else {
            throw refusal("needs a metric, such as candidate.perplexity")
        }
        if metric.hasPrefix("candidate.") { metric.removeFirst("candidate.".count) }
        guard metric.split(separator: ".", omittingEmptySubsequences: false).allSatisfy({ !$0.isEmpty }),
            Self.isName(metric), metric.utf8.count <= 80
        else {
            throw refusal(
                "has the metric \"\(metric.prefix(80))\", which is not a path: write names with dots between them")
        }
        let named = Self.conditions.filter { members[$0] != nil }
        let allowed = ["name", "metric"] + Self.conditions + (named.first.flatMap { Self.companions[$0] } ?? [])
        for key in members.keys.sorted() where !allowed.contains(key) {
            throw refusal(
                "has the key \"\(key.prefix(80))\", which does not belong there: "
                    + Suggestion.advice(for: key, in: allowed, plural: "keys"))
        }
        guard let condition = named.first, named.count == 1 else {
            let fault = named.isEmpty ? "has no condition" : "has the conditions \(named.joined(separator: " and "))"
            throw refusal("\(fault): give exactly one of \(Self.conditions.joined(separator: ", "))")
        }
        if let name = members["name"], !Self.isName(name.stringValue ?? "") {
            throw refusal("has a name that is not of 1 to 100 letters, digits, spaces and -_./")
        }
        return GateRule(
            name: members["name"]?.stringValue ?? "\(metric) \(condition)", metric: metric,
            condition: try self.condition(condition, metric: metric))
    }

    /// What MLflow takes as a part of a tag's name.
    private static func isName(_ text: String) -> Bool {
        (1...100).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte)
                    || [0x20, 0x2D, 0x2E, 0x2F, 0x5F].contains(byte)
            }
    }

    private func condition(_ key: String, metric: String) throws(PipelineError) -> GateRule.Condition {
        switch key {
        case "max": .atMost(try number("max"))
        case "min": .atLeast(try number("min"))
        case "max_ratio_to": .atMostRatio(try number("ratio", from: 0), to: try reference(key))
        case "min_ratio_to": .atLeastRatio(try number("ratio", from: 0), to: try reference(key))
        case "min_improvement_over":
            .improvement(try number("fraction", from: 0), over: try reference(key), better: try direction(of: metric))
        default:
            .noWorse(
                than: try reference(key), tolerance: try number("tolerance", from: 0, standard: 0),
                absoluteTolerance: try number("absolute_tolerance", from: 0, standard: 0),
                better: try direction(of: metric))
        }
    }

    private func number(_ key: String, from least: Double? = nil, standard: Double? = nil) throws(PipelineError)
        -> Double
    {
        guard let member = members[key] else {
            if let standard { return standard }
            throw refusal("needs \(key): a number")
        }
        guard let value = member.doubleValue, value.isFinite else {
            throw refusal("has \(key): \(member.canonicalJSON.prefix(80)), which is not a number")
        }
        if let least, value < least {
            throw refusal("has \(key): \(NumberText.short(value)), which is below \(NumberText.short(least))")
        }
        return value
    }

    private func reference(_ key: String) throws(PipelineError) -> GateRule.Reference {
        guard let reference = members[key]?.stringValue.flatMap(GateRule.Reference.init) else {
            let given = (members[key] ?? .null).canonicalJSON.prefix(80)
            throw refusal("has \(key): \(given): compare with base or champion")
        }
        return reference
    }

    private func direction(of metric: String) throws(PipelineError) -> GateRule.Direction {
        if let member = members["better"] {
            guard let direction = member.stringValue.flatMap(GateRule.Direction.init) else {
                throw refusal("has better: \(member.canonicalJSON.prefix(80)): say lower or higher")
            }
            return direction
        }
        guard let direction = GateRule.usualDirection(of: metric) else {
            throw refusal("does not say which way \(metric) is better: add better: lower or better: higher")
        }
        return direction
    }

    private func refusal(_ fault: String) -> PipelineError {
        PipelineError(.invalidGate, "\(label) \(fault)")
    }
}
