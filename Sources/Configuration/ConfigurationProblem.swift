/// One thing that is wrong with what people wrote, and where: `file:line:column: message`.
package struct ConfigurationProblem: Hashable, Sendable, CustomStringConvertible {
    /// A file, or the name of an environment variable.
    package var source: String
    package var position: SourcePosition?
    /// What is wrong and what to do.
    package var message: String

    package init(source: String, position: SourcePosition? = nil, message: String) {
        self.source = source
        self.position = position
        self.message = message
    }

    package var description: String {
        guard let position else { return "\(source): \(message)" }
        return "\(source):\(position.line):\(position.column): \(message)"
    }
}
