/// Brings the answers to one question together, in the order in which the pairs came.
///
/// Memory per pair: 13 bytes, and 27 to 54 for each question in the table.
struct AnswerMerger {
    private static let none = UInt32.max

    private let options: MergeOptions
    private let maximumBytes: Int
    private let spool: PairSpool
    /// The last pair with each question.
    private var last: [Digest128: UInt32] = [:]
    private var offsets: [Int64] = []
    /// The next pair with the same question.
    private var next: [UInt32] = []
    private var isFollower: [Bool] = []

    init(_ options: MergeOptions, maximumBytes: Int, scratch: String) throws(IngestError) {
        self.options = options
        self.maximumBytes = maximumBytes
        spool = try PairSpool(folder: scratch)
    }

    mutating func add(_ pair: QuestionAnswer, question: Digest128) throws {
        guard offsets.count < Int(Self.none) else {
            throw IngestError(.limitExceeded, "More than \(Self.none) pairs cannot be merged; set merge.mode to keep.")
        }
        let index = UInt32(offsets.count)
        offsets.append(try spool.append(pair))
        next.append(Self.none)
        let before = last.updateValue(index, forKey: question)
        if let before { next[Int(before)] = index }
        isFollower.append(before != nil)
    }

    /// Hands every record over, in the order of the first pair of each.
    mutating func finish(
        counts: inout IngestCounts, _ body: (QuestionAnswer, _ sourceIDs: [String]) throws -> Void
    ) throws {
        try spool.flush()
        last = [:]
        offsets.append(spool.end)
        for index in next.indices where !isFollower[index] {
            try Task.checkCancellation()
            var record = try spool.pair(in: offsets[index]..<offsets[index + 1])
            var sourceIDs = [record.sourceID]
            var bytes = record.answer.utf8.count
            var follower = next[index]
            // Equal answers come here where exact duplicates are not removed.
            var answers: Set<String> = follower == Self.none ? [] : [record.answer]
            while follower != Self.none {
                let position = Int(follower)
                follower = next[position]
                guard options.mode == .join, answers.count < options.maximumAnswers else {
                    counts.droppedAnswers += 1
                    continue
                }
                let other = try spool.distantPair(in: offsets[position]..<offsets[position + 1])
                guard !answers.contains(other.answer) else {
                    counts.exactDuplicates += 1
                    continue
                }
                let addition = options.separator.utf8.count + other.answer.utf8.count
                guard bytes + addition <= maximumBytes else {
                    counts.droppedAnswers += 1
                    continue
                }
                bytes += addition
                answers.insert(other.answer)
                record.answer += options.separator + other.answer
                if !sourceIDs.contains(other.sourceID) { sourceIDs.append(other.sourceID) }
                counts.merged += 1
            }
            try body(record, sourceIDs)
        }
    }
}
