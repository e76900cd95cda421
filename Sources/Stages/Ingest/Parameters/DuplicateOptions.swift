/// Which repetitions are removed. The first of them, in the order of the sources, is kept.
package struct DuplicateOptions: Hashable, Sendable {
    /// Equal question and answer, but for letter case, white space and Unicode form. 22 to 43 bytes of memory per
    /// pair.
    package var removesExact = true
    /// Both the question and the answer nearly equal, by MinHash. 230 to 300 bytes of memory per pair.
    package var removesNear = true
    /// The estimated Jaccard similarity of the word shingles, from which two texts count as near-duplicates.
    package var threshold = 0.85
    /// Words per shingle of an answer.
    package var shingleWords = 3
    /// Pairs that may be remembered before the ingest fails; bounds its memory. Nil: as many as take about 2 GB, which
    /// is `mostWithNear` or `mostWithoutNear`.
    package var entries: Int?

    package static let mostWithNear = 5_000_000
    package static let mostWithoutNear = 20_000_000
    package var maximumEntries: Int { entries ?? (removesNear ? Self.mostWithNear : Self.mostWithoutNear) }

    package init() {}

    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        removesExact = try reader.bool("exact", default: removesExact)
        removesNear = try reader.bool("near", default: removesNear)
        threshold = try reader.number("threshold", in: 0.5...1) ?? threshold
        shingleWords = Int(try reader.integer("shingle_words", in: 1...10) ?? Int64(shingleWords))
        entries = try reader.integer("max_entries", in: 1...Int64(UInt32.max - 1)).map { Int($0) }
        try reader.finish()
    }
}
