extension JSONValue {
    /// One fixed spelling of this value: members sorted by the bytes of their names, no white space,
    /// shortest round-trip numbers. Equal values give equal text, so it can be hashed and compared.
    ///
    /// JSON has no infinity and no NaN; they are spelled `null`, as in ECMAScript's `JSON.stringify`.
    package var canonicalJSON: String {
        var text = ""
        writeCanonical(to: &text)
        return text
    }

    private func writeCanonical(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .int(let value): text += String(value)
        case .double(let value): text += Self.spell(value)
        case .string(let value): Self.quote(value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.writeCanonical(to: &text)
            }
            text += "]"
        case .object(let members):
            text += "{"
            for (index, key) in members.keys.sorted(by: Self.precedes).enumerated() {
                if index > 0 { text += "," }
                Self.quote(key, to: &text)
                text += ":"
                members[key, default: .null].writeCanonical(to: &text)
            }
            text += "}"
        }
    }

    private static func precedes(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }

    private static func spell(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        // A whole double is spelled as an integer, so that 1 and 1.0 give one cache key.
        if let whole = Int64(exactly: value) { return String(whole) }
        return value.description
    }

    /// Appends `value` as a JSON string (RFC 8259 §7).
    package static func quote(_ value: String, to text: inout String) {
        text += "\""
        // Most strings have nothing to escape.
        if value.utf8.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") && $0 != 0x7F }) {
            text += value
            text += "\""
            return
        }
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{0}"..."\u{1F}", "\u{7F}":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
