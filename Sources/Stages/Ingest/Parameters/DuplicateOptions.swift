/// Which repetitions are removed. The first of them, in the order of the sources, is kept.
package struct DuplicateOptions: Hashable, Sendable {
    /// Equal question and answer, but for letter case, white space and Unicode form. 22 to 43 bytes of memory per
    /// record.
    package var removesExact = true
    /// Both the question and the answer nearly equal, by MinHash. About 600 bytes of memory per
    /// record, up to 800 just after the tables have grown.
    package var removesNear = true
    /// The estimated Jaccard similarity of the word shingles, from which two texts count as near-duplicates.
    package var threshold = 0.85
    /// Words per shingle of an answer.
    package var shingleWords = 3
    /// Records that the index may hold before the ingest fails; bounds its memory.
    package var maximumEntries = 5_000_000

    package init() {}

    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        removesExact = try reader.bool("exact", default: removesExact)
        removesNear = try reader.bool("near", default: removesNear)
        threshold = try reader.number("threshold", in: 0.5...1) ?? threshold
        shingleWords = Int(try reader.integer("shingle_words", in: 1...10) ?? Int64(shingleWords))
        maximumEntries = Int(try reader.integer("max_entries", in: 1...Int64(UInt32.max - 1)) ?? Int64(maximumEntries))
        try reader.finish()
    }
}
