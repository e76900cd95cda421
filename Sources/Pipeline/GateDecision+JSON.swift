extension GateDecision {
    /// The member of a stage's ``StageOutput/values`` that holds the decision.
    package static let outputKey = "gate"

    /// The same document that `Codable` writes, for ``StageOutput/values``.
    package var json: JSONValue {
        .object(["accepted": .bool(isAccepted), "results": .array(results.map(\.json))])
    }

    /// Nil when `json` is not a decision.
    package init?(json: JSONValue) {
        guard let isAccepted = json["accepted"]?.boolValue, let elements = json["results"]?.arrayValue else {
            return nil
        }
        let results = elements.compactMap(GateResult.init(json:))
        guard results.count == elements.count else { return nil }
        self.init(isAccepted: isAccepted, results: results)
    }

    /// The decision of the last stage that has one.
    package init?(of summary: RunSummary) {
        let decisions = summary.stages.compactMap { stage in
            stage.output?.values[Self.outputKey].flatMap(GateDecision.init(json:))
        }
        guard let last = decisions.last else { return nil }
        self = last
    }
}

extension GateResult {
    package var json: JSONValue {
        var members: [String: JSONValue] = [
            "rule": .string(rule), "metric": .string(metric), "comparison": .string(comparison.rawValue),
            "status": .string(status.rawValue), "explanation": .string(explanation),
        ]
        members["observed"] = observed.map(JSONValue.double)
        members["threshold"] = threshold.map(JSONValue.double)
        members["reference"] = reference.map(JSONValue.double)
        members["margin"] = margin.map(JSONValue.double)
        return .object(members)
    }

    package init?(json: JSONValue) {
        guard let rule = json["rule"]?.stringValue, let metric = json["metric"]?.stringValue,
            let comparison = json["comparison"]?.stringValue.flatMap(Comparison.init),
            let status = json["status"]?.stringValue.flatMap(Status.init),
            let explanation = json["explanation"]?.stringValue
        else { return nil }
        self.init(
            rule: rule, metric: metric, comparison: comparison, observed: json["observed"]?.doubleValue,
            threshold: json["threshold"]?.doubleValue, reference: json["reference"]?.doubleValue,
            margin: json["margin"]?.doubleValue, status: status, explanation: explanation)
    }
}
