import Pipeline

/// What a raw record must look like.
package struct RecordSchema: Hashable, Sendable {
    package enum UnknownFields: String, Hashable, Sendable, CaseIterable {
        /// They are read and templates may use them.
        case allow
        /// A record that has one is bad.
        case error
    }

    package var fields: [FieldRule] = []
    package var unknownFields = UnknownFields.allow

    package init() {}

    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        unknownFields = try reader.choice("unknown_fields", default: unknownFields)
        if let rules = try reader.object("fields") {
            for name in rules.keys.sorted() {
                let path = reader.place("fields.\(name)")
                fields.append(try FieldRule(name: name, ParameterReader(rules[name] ?? .null, path: path)))
            }
        }
        try reader.finish()
    }

    var jsonValue: JSONValue {
        .object([
            "unknown_fields": .string(unknownFields.rawValue),
            "fields": .object(Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0.jsonValue) })),
        ])
    }
}
