import Pipeline

/// Applies a schema to records.
struct SchemaValidator {
    private let schema: RecordSchema
    private let names: Set<String>
    private let patterns: [LinearPattern?]
    /// The values of a CSV file are all text: numbers and booleans are read from it.
    private let isTextual: Bool

    init(_ schema: RecordSchema, isTextual: Bool) throws(IngestError) {
        self.schema = schema
        self.isTextual = isTextual
        names = Set(schema.fields.map(\.name))
        var patterns: [LinearPattern?] = []
        for field in schema.fields {
            guard let pattern = field.pattern else {
                patterns.append(nil)
                continue
            }
            patterns.append(try LinearPattern(pattern, path: "schema.fields.\(field.name).pattern"))
        }
        self.patterns = patterns
    }

    /// Every broken rule of `record`; empty when it is good.
    func violations(of record: Record) -> [RuleViolation] {
        var violations: [RuleViolation] = []
        for (index, rule) in schema.fields.enumerated() {
            if let (name, message) = check(record[rule.name], rule, patterns[index]) {
                violations.append(RuleViolation(field: rule.name, rule: name, message: message))
            }
        }
        if schema.unknownFields == .error {
            for member in record.members where !names.contains(member.key) {
                violations.append(
                    RuleViolation(field: member.key, rule: "unknown_field", message: "is not in the schema"))
            }
        }
        return violations
    }

    private func check(
        _ value: RecordValue?, _ rule: FieldRule, _ pattern: LinearPattern?
    ) -> (rule: String, message: String)? {
        guard let value, !isEmpty(value) else {
            return rule.isRequired ? ("required", value == nil ? "is missing" : "is empty") : nil
        }
        switch (rule.kind, value) {
        case (.string, .string(let text)): return check(text, rule, pattern)
        case (.integer, .number(let text)), (.number, .number(let text)): return check(number: text, rule)
        case (.integer, .string(let text)) where isTextual, (.number, .string(let text)) where isTextual:
            return check(number: text, rule)
        case (.boolean, .string(let text)) where isTextual:
            return ["true", "false"].contains(text.lowercased()) ? nil : ("type", "must be true or false")
        case (.array, .array(let elements)): return checkLength(elements.count, "elements", rule)
        case (.boolean, .bool), (.object, .object): return nil
        default: return ("type", "must be of type \(rule.kind.rawValue), not \(value.typeName)")
        }
    }

    private func isEmpty(_ value: RecordValue) -> Bool {
        switch value {
        case .null: true
        case .string(let text): text.allSatisfy(\.isWhitespace)
        case .array(let elements): elements.isEmpty
        case .object(let members): members.isEmpty
        case .bool, .number: false
        }
    }

    private func check(
        _ text: String, _ rule: FieldRule, _ pattern: LinearPattern?
    ) -> (rule: String, message: String)? {
        if let allowed = rule.allowed, !allowed.contains(text) {
            return ("enum", "is none of \(allowed.map { "\"\($0)\"" }.joined(separator: ", "))")
        }
        if rule.minimumLength != nil || rule.maximumLength != nil {
            if let fault = checkLength(text.count, "characters", rule) { return fault }
        }
        guard let pattern else { return nil }
        guard text.utf8.count <= FieldRule.maximumPatternInput else {
            return ("pattern", "is longer than the \(FieldRule.maximumPatternInput) bytes on which a pattern is tried")
        }
        return pattern.matches(text) ? nil : ("pattern", "does not match \(rule.pattern ?? "")")
    }

    private func checkLength(_ length: Int, _ unit: String, _ rule: FieldRule) -> (rule: String, message: String)? {
        if let minimum = rule.minimumLength, length < minimum {
            return ("min_length", "has \(length) \(unit); at least \(minimum) are needed")
        }
        if let maximum = rule.maximumLength, length > maximum {
            return ("max_length", "has \(length) \(unit); at most \(maximum) are allowed")
        }
        return nil
    }

    private func check(number text: String, _ rule: FieldRule) -> (rule: String, message: String)? {
        let digits = text.first == "-" || text.first == "+" ? text.dropFirst() : text[...]
        guard let number = Double(text), number.isFinite,
            digits.utf8.first.map({ $0 &- 0x30 < 10 || $0 == 0x2E }) == true,
            !text.utf8.contains(where: { $0 | 0x20 == UInt8(ascii: "x") })
        else { return ("type", "\"\(text.prefix(40))\" is no number") }
        if rule.kind == .integer, !digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }) {
            // 1e3 and 1.0 are whole numbers in JSON too.
            guard number.rounded() == number else { return ("type", "\"\(text.prefix(40))\" is no whole number") }
        }
        if let minimum = rule.minimum, number < minimum { return ("minimum", "\(text) is less than \(minimum)") }
        if let maximum = rule.maximum, number > maximum { return ("maximum", "\(text) is more than \(maximum)") }
        if let allowed = rule.allowed, !allowed.contains(text) {
            return ("enum", "is none of \(allowed.joined(separator: ", "))")
        }
        return nil
    }
}
