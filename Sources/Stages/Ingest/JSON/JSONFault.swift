/// What is wrong with a JSON text, and where.
struct JSONFault: Error, Hashable {
    /// In bytes from the start of the text.
    var offset: Int
    var message: String
    /// `json` or `encoding`.
    var rule = "json"
    /// The text ended before the value did.
    var isAtEnd = false
}
