/// A parsed regular expression.
indirect enum PatternNode: Hashable, Sendable {
    case set(ScalarSet)
    case sequence([PatternNode])
    case alternatives([PatternNode])
    /// - maximum: nil for any number.
    case repeated(PatternNode, minimum: Int, maximum: Int?)
}

/// What is wrong with a pattern, before its place is known.
struct PatternFault: Error {
    var message: String
    init(_ message: String) { self.message = message }
}
