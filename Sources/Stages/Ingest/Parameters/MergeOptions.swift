/// What becomes of several different answers to one question.
package struct MergeOptions: Hashable, Sendable {
    package enum Mode: String, Hashable, Sendable, CaseIterable {
        /// One record, the answers one after another in the order of the sources.
        case join
        /// The first answer stands, the others are dropped.
        case first
        /// Every answer stays a record of its own.
        case keep
    }

    package var mode = Mode.join
    package var separator = "\n"
    /// Further answers to one question are dropped and counted.
    package var maximumAnswers = 32

    package init() {}

    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        mode = try reader.choice("mode", default: mode)
        separator = try reader.string("separator") ?? separator
        maximumAnswers = Int(try reader.integer("max_answers", in: 1...10_000) ?? Int64(maximumAnswers))
        try reader.finish()
    }
}
