/// Decides of each pair whether it was there before.
struct DuplicateFilter {
    enum Verdict: Hashable {
        /// The question's digest tells pairs with the same question; nil unless it was asked for.
        case fresh(question: Digest128?)
        case exact
        case near
    }

    private let options: DuplicateOptions
    private var seen: Set<Digest128> = []
    private var near: NearDuplicateIndex
    private var fresh = 0
    private var scratch: [UInt8] = []

    init(_ options: DuplicateOptions) {
        self.options = options
        near = NearDuplicateIndex(threshold: options.threshold, shingleWords: options.shingleWords)
    }

    /// - Parameter needsQuestion: whether answers to one question are to be merged.
    /// - Throws: `IngestError` with code `ingest.duplicate_index_full`.
    mutating func judge(_ pair: QuestionAnswer, needsQuestion: Bool) throws(IngestError) -> Verdict {
        guard options.removesExact || options.removesNear || needsQuestion else { return try remember(nil) }
        scratch.removeAll(keepingCapacity: true)
        TextNormalizer.append(pair.question, to: &scratch)
        let questionEnd = scratch.count
        let question = needsQuestion ? Digest128(scratch) : nil
        scratch.append(0)
        TextNormalizer.append(pair.answer, to: &scratch)
        if options.removesExact {
            guard seen.insert(Digest128(scratch)).inserted else { return .exact }
            guard seen.count <= options.maximumEntries else { throw full() }
        }
        if options.removesNear {
            if near.isDuplicate(question: scratch[..<questionEnd], answer: scratch[(questionEnd + 1)...]) {
                return .near
            }
        }
        return try remember(question)
    }

    /// Every pair that is kept takes memory, whichever duplicates are removed: in an index here, where answers are
    /// merged, or where equal pairs are told apart.
    private mutating func remember(_ question: Digest128?) throws(IngestError) -> Verdict {
        fresh += 1
        guard fresh <= options.maximumEntries else { throw full() }
        return .fresh(question: question)
    }

    private func full() -> IngestError {
        IngestError(
            .duplicateIndexFull,
            "More than \(options.maximumEntries) question/answer pairs are to be remembered for finding duplicates and "
                + "for merging. "
                + (options.removesNear
                    ? "Raise duplicates.max_entries, if the workers of the pool have about 400 bytes of memory for each; "
                        + "or set duplicates.near to false, which takes about 100 bytes for each and allows "
                        + "\(DuplicateOptions.mostWithoutNear) by default."
                    : "Raise duplicates.max_entries, if the workers of the pool have about 100 bytes of memory for each; "
                        + "or split the source into several runs."))
    }
}
