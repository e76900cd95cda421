import Pipeline

extension RecordValue {
    /// The value as text for a template: nothing for null and for containers.
    var text: String? {
        switch self {
        case .string(let text), .number(let text): text
        case .bool(let value): value ? "true" : "false"
        case .null, .array, .object: nil
        }
    }
}
