/// Decides of each pair whether it was there before.
struct DuplicateFilter {
    enum Verdict: Hashable {
        /// The question's digest tells pairs with the same question.
        case fresh(question: Digest128)
        case exact
        case near
    }

    private let options: DuplicateOptions
    private var seen: Set<Digest128> = []
    private var near: NearDuplicateIndex
    private var scratch: [UInt8] = []

    init(_ options: DuplicateOptions) {
        self.options = options
        near = NearDuplicateIndex(threshold: options.threshold, shingleWords: options.shingleWords)
    }

    /// - Throws: `IngestError` with code `ingest.duplicate_index_full`.
    mutating func judge(_ pair: QuestionAnswer) throws(IngestError) -> Verdict {
        scratch.removeAll(keepingCapacity: true)
        TextNormalizer.append(pair.question, to: &scratch)
        let questionEnd = scratch.count
        let question = Digest128(scratch)
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
            guard near.count <= options.maximumEntries else { throw full() }
        }
        return .fresh(question: question)
    }

    private func full() -> IngestError {
        IngestError(
            .duplicateIndexFull,
            "More than \(options.maximumEntries) records are to be remembered for finding duplicates. Raise "
                + "duplicates.max_entries (up to 43 bytes of memory each for exact, 800 for near duplicates), or turn "
                + "duplicates.near or duplicates.exact off.")
    }
}
