import Pipeline

// PostgreSQL stores no NUL, neither in text nor in jsonb. What is for people keeps a sign in its place; what programs
// read is refused instead.

extension String {
    var withoutNUL: String {
        utf8.contains(0) ? replacing("\0", with: "␀") : self
    }
}

extension JSONValue {
    var withoutNUL: JSONValue {
        switch self {
        case .null, .bool, .int, .double: self
        case .string(let text): .string(text.withoutNUL)
        case .array(let values): .array(values.map(\.withoutNUL))
        case .object(let members):
            .object(
                Dictionary(
                    members.map { ($0.key.withoutNUL, $0.value.withoutNUL) }, uniquingKeysWith: { _, last in last }))
        }
    }
}

extension Failure {
    var withoutNUL: Failure {
        Failure(
            class: `class`, code: code.withoutNUL, message: message.withoutNUL, details: details.map(\.withoutNUL))
    }
}
