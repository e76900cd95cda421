/// Texts and names inside a search filter.
///
/// MLflow's filter language has two kinds of quotes and no escape character, so a text that holds both kinds
/// cannot be searched for.
package enum MLflowFilter {
    /// `'text'` or `"text"`.
    /// - Throws: `MLflowError` with code `.invalidRequest` when the text holds both kinds of quotes.
    package static func text(_ text: String) throws -> String {
        if !text.utf8.contains(UInt8(ascii: "'")) { return "'\(text)'" }
        if !text.utf8.contains(UInt8(ascii: "\"")) { return "\"\(text)\"" }
        throw MLflowError(
            code: .invalidRequest,
            message: "MLflow cannot search for a text that holds both kinds of quotes: \(text.prefix(200))",
            operation: "search")
    }

    /// A tag's name in backticks: ``tags.`martlet.run` ``.
    /// - Throws: `MLflowError` with code `.invalidRequest` when the name holds a backtick or a double quote.
    package static func tag(_ name: String) throws -> String {
        guard !name.utf8.contains(UInt8(ascii: "`")), !name.utf8.contains(UInt8(ascii: "\"")) else {
            throw MLflowError(
                code: .invalidRequest, message: "MLflow cannot search for the tag \(name): it holds quotes",
                operation: "search")
        }
        return "tags.`\(name)`"
    }
}
