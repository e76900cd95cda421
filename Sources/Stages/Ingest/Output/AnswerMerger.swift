/// Brings the answers to one question together, in the order in which the pairs came.
///
/// Memory per pair: 13 bytes and a table entry of about 48.
struct AnswerMerger {
    private struct Group {
        var first: UInt32
        var last: UInt32
    }

    private static let none = UInt32.max

    private let options: MergeOptions
    private let maximumBytes: Int
    private let spool: PairSpool
    private var groups: [Digest128: Group] = [:]
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
        if let last = groups[question]?.last {
            next[Int(last)] = index
            groups[question]?.last = index
            isFollower.append(true)
        } else {
            groups[question] = Group(first: index, last: index)
            isFollower.append(false)
        }
    }

    /// Hands every record over, in the order of the first pair of each.
    mutating func finish(
        counts: inout IngestCounts, _ body: (QuestionAnswer, _ sourceIDs: [String]) throws -> Void
    ) throws {
        try spool.flush()
        groups = [:]
        offsets.append(spool.end)
        for index in next.indices where !isFollower[index] {
            try Task.checkCancellation()
            var record = try spool.pair(in: offsets[index]..<offsets[index + 1])
            var sourceIDs = [record.sourceID]
            var answers = 1
            var bytes = record.answer.utf8.count
            var follower = next[index]
            while follower != Self.none {
                let position = Int(follower)
                follower = next[position]
                guard options.mode == .join, answers < options.maximumAnswers else {
                    counts.droppedAnswers += 1
                    continue
                }
                let other = try spool.distantPair(in: offsets[position]..<offsets[position + 1])
                let addition = options.separator.utf8.count + other.answer.utf8.count
                guard bytes + addition <= maximumBytes else {
                    counts.droppedAnswers += 1
                    continue
                }
                bytes += addition
                answers += 1
                record.answer += options.separator + other.answer
                if !sourceIDs.contains(other.sourceID) { sourceIDs.append(other.sourceID) }
                counts.merged += 1
            }
            try body(record, sourceIDs)
        }
    }
}
