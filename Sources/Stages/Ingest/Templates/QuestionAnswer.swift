import Pipeline

/// One pair as the templates make it, before duplicates and further answers are dealt with.
struct QuestionAnswer: Hashable, Sendable {
    var question: String
    var answer: String
    /// Names the raw record: what is made of one record stays on one side of a split.
    var sourceID: String
    var extras: [RecordValue.Member] = []
}
