/// What is wrong with a JSON text, and where.
package struct JSONFault: Error, Hashable, CustomStringConvertible {
    /// In bytes from the start of the text.
    package let offset: Int
    package let message: String
    /// `json` or `encoding`.
    package let rule: String
    /// The text ended before the value did.
    package let isAtEnd: Bool

    init(offset: Int, message: String, rule: String = "json", isAtEnd: Bool = false) {
        self.offset = offset
        self.message = message
        self.rule = rule
        self.isAtEnd = isAtEnd
    }

    package var description: String { "byte \(offset + 1): \(message)" }
}
