extension RolloutPolicy {
    package var json: JSONValue {
        .object([
            "steps": .array(steps.map(JSONValue.double)), "minimum_samples": .int(Int64(minimumSamples)),
            "minimum_seconds": .double(minimumSeconds), "deadline_seconds": .double(deadline), "alpha": .double(alpha),
            "margins": .object([
                "errors": .double(margins.errors), "empty": .double(margins.empty),
                "truncated": .double(margins.truncated), "first_token": .double(margins.firstToken),
                "per_token": .double(margins.perToken), "length": .double(margins.length),
            ]),
        ])
    }

    /// What `json` does not say keeps its standard.
    package init(json: JSONValue) {
        self.init()
        if let steps = json["steps"]?.arrayValue?.compactMap(\.doubleValue), !steps.isEmpty { self.steps = steps }
        if let value = json["minimum_samples"]?.doubleValue { minimumSamples = Int(value) }
        if let value = json["minimum_seconds"]?.doubleValue { minimumSeconds = value }
        if let value = json["deadline_seconds"]?.doubleValue { deadline = value }
        if let value = json["alpha"]?.doubleValue { alpha = value }
        let margins = json["margins"]
        func margin(_ name: String, _ standard: Double) -> Double { margins?[name]?.doubleValue ?? standard }
        self.margins.errors = margin("errors", self.margins.errors)
        self.margins.empty = margin("empty", self.margins.empty)
        self.margins.truncated = margin("truncated", self.margins.truncated)
        self.margins.firstToken = margin("first_token", self.margins.firstToken)
        self.margins.perToken = margin("per_token", self.margins.perToken)
        self.margins.length = margin("length", self.margins.length)
    }
}
