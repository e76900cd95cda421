import Pipeline

/// Reads the members of one mapping by name and type; reports what does not fit and what does not belong.
struct MappingReader {
    let members: [YAMLNode.Member]
    let position: SourcePosition
    /// How messages name the mapping: `a stage`, `the pipeline`.
    let label: String
    let problems: ProblemList

    /// Nil, with a report, when `node` is not a mapping. An empty value is an empty mapping.
    init?(_ node: YAMLNode, label: String, keys: [String], problems: ProblemList) {
        switch node.content {
        case .mapping(let members): self.members = members
        case .scalar(.null, _): members = []
        default:
            problems.report("\(label) must be a mapping, not a \(node.typeName)", at: node.position)
            return nil
        }
        position = node.position
        self.label = label
        self.problems = problems
        for member in members where !keys.contains(member.name) {
            let advice = Suggestion.advice(for: member.name, in: keys, plural: "keys")
            problems.report("\(label) has no key \"\(member.name.prefix(80))\": \(advice)", at: member.position)
        }
    }

    /// The value of `key`; an empty value counts as absent.
    func node(_ key: String) -> YAMLNode? {
        guard let node = members.first(where: { $0.name == key })?.value, !node.isNull else { return nil }
        return node
    }

    func string(_ key: String) -> String? {
        guard let node = node(key) else { return nil }
        if case .scalar(.string(let text), _) = node.content { return text }
        // `name: 2024` is meant as a text, whatever YAML makes of it.
        if case .scalar(_, let text) = node.content, node.json.doubleValue != nil { return text }
        mismatch(node, key, "a text")
        return nil
    }

    func integer(_ key: String) -> Int? {
        guard let node = node(key) else { return nil }
        if case .scalar(let value, _) = node.content, let number = value.intValue, let whole = Int(exactly: number) {
            return whole
        }
        mismatch(node, key, "a whole number")
        return nil
    }

    func number(_ key: String) -> Double? {
        guard let node = node(key) else { return nil }
        if case .scalar(let value, _) = node.content, let number = value.doubleValue { return number }
        mismatch(node, key, "a number")
        return nil
    }

    func bool(_ key: String) -> Bool? {
        guard let node = node(key) else { return nil }
        if case .scalar(.bool(let value), _) = node.content { return value }
        mismatch(node, key, "true or false")
        return nil
    }

    /// Seconds.
    func duration(_ key: String) -> Double? {
        guard let node = node(key) else { return nil }
        if case .scalar(let value, let text) = node.content, let seconds = DurationText.seconds(value, text: text) {
            return seconds
        }
        mismatch(node, key, "a length of time, such as \(DurationText.examples)")
        return nil
    }

    func choice<Value: RawRepresentable & CaseIterable>(_ key: String, _ type: Value.Type) -> Value?
    where Value.RawValue == String {
        guard let node = node(key) else { return nil }
        if case .scalar(_, let text) = node.content, let value = Value(rawValue: text) { return value }
        mismatch(node, key, type.allCases.map(\.rawValue).joined(separator: " or "))
        return nil
    }

    /// A list of texts; a single text is a list of one.
    func strings(_ key: String) -> [String] {
        guard let node = node(key) else { return [] }
        if case .scalar(.string(let text), _) = node.content { return [text] }
        guard let elements = self.elements(key) else { return [] }
        return elements.enumerated().map { index, element in
            if case .scalar(.string(let text), _) = element.content { return text }
            if case .scalar(_, let text) = element.content, !element.isNull { return text }
            mismatch(element, "\(key)[\(index)]", "a text")
            return ""
        }
    }

    func elements(_ key: String) -> [YAMLNode]? {
        guard let node = node(key) else { return nil }
        if case .sequence(let elements) = node.content { return elements }
        mismatch(node, key, "a list")
        return nil
    }

    /// The members of an object, as JSON.
    func object(_ key: String) -> [String: JSONValue]? {
        guard let node = node(key) else { return nil }
        if case .mapping = node.content { return node.json.objectValue }
        mismatch(node, key, "a mapping")
        return nil
    }

    func mismatch(_ node: YAMLNode, _ key: String, _ expected: String) {
        var given = "a " + node.typeName
        if case .scalar(_, let text) = node.content { given = "\"\(text.prefix(40))\"" }
        problems.report("\(key) of \(label) must be \(expected), not \(given)", at: node.position)
    }
}
