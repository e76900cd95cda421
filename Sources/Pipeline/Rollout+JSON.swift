extension RolloutPolicy {
    package var json: JSONValue {
        .object([
            "steps": .array(steps.map(JSONValue.double)), "mirror": .double(mirror),
            "minimum_samples": .int(Int64(minimumSamples)),
            "minimum_seconds": .double(minimumSeconds), "deadline_seconds": .double(deadline), "alpha": .double(alpha),
            "probes": .int(Int64(probes)),
            "margins": .object([
                "errors": .double(margins.errors), "empty": .double(margins.empty),
                "truncated": .double(margins.truncated), "first_token": .double(margins.firstToken),
                "per_token": .double(margins.perToken), "length": .double(margins.length),
                "quality": .double(margins.quality),
            ]),
        ])
    }

    /// What `json` does not say keeps its standard; what it says wrongly is found by ``problem(in:)``.
    package init(json: JSONValue) {
        self.init()
        if let steps = json["steps"]?.arrayValue?.compactMap(\.doubleValue), !steps.isEmpty { self.steps = steps }
        if let value = json["mirror"]?.doubleValue { mirror = value }
        if let value = json["minimum_samples"]?.doubleValue { minimumSamples = Int(exactly: value) ?? -1 }
        if let value = json["minimum_seconds"]?.doubleValue { minimumSeconds = value }
        if let value = json["deadline_seconds"]?.doubleValue { deadline = value }
        if let value = json["alpha"]?.doubleValue { alpha = value }
        if let value = json["probes"]?.doubleValue { probes = Int(exactly: value) ?? -1 }
        let margins = json["margins"]
        func margin(_ name: String, _ standard: Double) -> Double { margins?[name]?.doubleValue ?? standard }
        self.margins.errors = margin("errors", self.margins.errors)
        self.margins.empty = margin("empty", self.margins.empty)
        self.margins.truncated = margin("truncated", self.margins.truncated)
        self.margins.firstToken = margin("first_token", self.margins.firstToken)
        self.margins.perToken = margin("per_token", self.margins.perToken)
        self.margins.length = margin("length", self.margins.length)
        self.margins.quality = margin("quality", self.margins.quality)
    }

    /// What is wrong with a policy as somebody wrote it; nil when nothing is.
    package static func problem(in json: JSONValue) -> String? {
        let numbers = ["mirror", "minimum_samples", "minimum_seconds", "deadline_seconds", "alpha", "probes"]
        let margins = ["errors", "empty", "truncated", "first_token", "per_token", "length", "quality"]
        for (name, value) in json.objectValue ?? [:] {
            switch name {
            case "enabled": continue
            case "steps":
                guard let steps = value.arrayValue, steps.allSatisfy({ $0.doubleValue != nil }) else {
                    return "steps must be a list of numbers"
                }
            case "margins":
                guard let members = value.objectValue else { return "margins must be a mapping" }
                for (name, value) in members where !margins.contains(name) || value.doubleValue == nil {
                    return "margins.\(name) is no margin, or no number; there are \(margins.joined(separator: ", "))"
                }
            case let name where numbers.contains(name):
                if value.doubleValue == nil { return "\(name) must be a number" }
            default:
                return "there is no \(name); there are \((["steps", "margins"] + numbers).joined(separator: ", "))"
            }
        }
        return RolloutPolicy(json: json).problem
    }
}
