package import Pipeline

/// Why one record was not taken.
package struct RecordReason: Hashable, Sendable, CustomStringConvertible {
    /// The URI of the source, without credentials.
    package var source: String
    /// The physical line on which the record begins, from 1.
    package var line: Int
    /// The byte of the source at which the record begins, from 0.
    package var byteOffset: Int64
    /// The field concerned; nil when it is the whole record.
    package var field: String?
    /// A stable word: `json`, `truncated`, `encoding`, `record_too_large`, `unterminated_quote`,
    /// `quote_after_text`, `text_after_quote`, `column_count`, `required`, `type`, `enum`, `pattern`, `min_length`,
    /// `max_length`, `minimum`, `maximum`, `unknown_field`, `no_template`.
    package var rule: String
    package var message: String

    package init(
        source: String, line: Int, byteOffset: Int64, field: String? = nil, rule: String, message: String
    ) {
        self.source = source
        self.line = line
        self.byteOffset = byteOffset
        self.field = field
        self.rule = rule
        self.message = message
    }

    package var description: String {
        let place = field.map { ", field \"\($0)\"" } ?? ""
        return "\(source) line \(line) (byte \(byteOffset))\(place): \(rule): \(message)"
    }

    package var jsonValue: JSONValue {
        .object([
            "source": .string(source), "line": .int(Int64(line)), "byte_offset": .int(byteOffset),
            "field": field.map(JSONValue.string) ?? .null, "rule": .string(rule), "message": .string(message),
        ])
    }
}

/// One broken rule, before the record's place is known to it.
struct RuleViolation: Hashable, Sendable {
    var field: String?
    var rule: String
    var message: String
}
