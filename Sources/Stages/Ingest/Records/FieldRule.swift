import Pipeline

/// The rules for one field of a raw record.
package struct FieldRule: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        case string, integer, number, boolean, array, object
    }

    /// A pattern is tried only on texts up to this many bytes: its time grows with them.
    static let maximumPatternInput = 16 << 10

    package var name: String
    package var kind: Kind
    /// The field must be there and hold something: not null, no empty string, array or object.
    package var isRequired: Bool
    /// Characters of a string, elements of an array.
    package var minimumLength: Int?
    package var maximumLength: Int?
    package var minimum: Double?
    package var maximum: Double?
    /// Must match the whole text; the syntax is that of ``PatternParser``.
    package var pattern: String?
    package var allowed: [String]?

    init(name: String, _ part: ParameterReader) throws(IngestError) {
        var reader = part
        self.name = name
        kind = try reader.choice("type", default: .string)
        isRequired = try reader.bool("required", default: false)
        minimumLength = try reader.integer("min_length", in: 0...Int64(Int32.max)).map { Int($0) }
        maximumLength = try reader.integer("max_length", in: 0...Int64(Int32.max)).map { Int($0) }
        let bounds = -Double.greatestFiniteMagnitude...Double.greatestFiniteMagnitude
        minimum = try reader.number("minimum", in: bounds)
        maximum = try reader.number("maximum", in: bounds)
        pattern = try reader.string("pattern")
        allowed = try reader.strings("enum")
        try reader.finish()
        if let low = minimumLength, let high = maximumLength, low > high {
            throw reader.fault("min_length", "is greater than \"max_length\"")
        }
        if let low = minimum, let high = maximum, low > high {
            throw reader.fault("minimum", "is greater than \"maximum\"")
        }
        if minimumLength != nil || maximumLength != nil, ![.string, .array].contains(kind) {
            throw reader.fault("min_length", "and \"max_length\" are for strings and arrays, not for \(kind.rawValue)")
        }
        if minimum != nil || maximum != nil, ![.integer, .number].contains(kind) {
            throw reader.fault("minimum", "and \"maximum\" are for integers and numbers, not for \(kind.rawValue)")
        }
        if let pattern {
            guard kind == .string else { throw reader.fault("pattern", "is for strings, not for \(kind.rawValue)") }
            _ = try LinearPattern(pattern, path: reader.place("pattern"))
        }
    }

    var jsonValue: JSONValue {
        var members: [String: JSONValue] = ["type": .string(kind.rawValue), "required": .bool(isRequired)]
        members["min_length"] = minimumLength.map { .int(Int64($0)) }
        members["max_length"] = maximumLength.map { .int(Int64($0)) }
        members["minimum"] = minimum.map { .double($0) }
        members["maximum"] = maximum.map { .double($0) }
        members["pattern"] = pattern.map { .string($0) }
        members["enum"] = allowed.map { .array($0.map(JSONValue.string)) }
        return .object(members)
    }
}
