/// A value of a raw record, as it was written: numbers keep their text and members their order. What the fleet itself
/// works with is a ``JSONValue``.
package enum RecordValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case number(String)
    case string(String)
    case array([RecordValue])
    case object([Member])

    package struct Member: Hashable, Sendable {
        package var key: String
        package var value: RecordValue

        package init(key: String, value: RecordValue) {
            self.key = key
            self.value = value
        }
    }

    package var typeName: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }

    package func member(_ key: String) -> RecordValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }
}
