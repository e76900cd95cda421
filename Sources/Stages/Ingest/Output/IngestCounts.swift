package import Pipeline

/// What became of the records.
package struct IngestCounts: Hashable, Sendable {
    /// Of all sources.
    package var bytes: Int64 = 0
    /// Raw records, good and bad; neither headers nor empty lines.
    package var read: Int64 = 0
    package var valid: Int64 = 0
    package var bad: Int64 = 0
    package var badByRule: [String: Int64] = [:]
    /// Valid records to which no template applied.
    package var withoutPairs: Int64 = 0
    /// Question/answer pairs made from the valid records.
    package var pairs: Int64 = 0
    package var exactDuplicates: Int64 = 0
    package var nearDuplicates: Int64 = 0
    /// Pairs that went into the record of an earlier pair with the same question.
    package var merged: Int64 = 0
    /// Further answers to a question that were left out.
    package var droppedAnswers: Int64 = 0
    package var written: Int64 = 0

    package init() {}

    package var jsonValue: JSONValue {
        .object([
            "bytes": .int(bytes), "read": .int(read), "valid": .int(valid), "bad": .int(bad),
            "bad_by_rule": .object(badByRule.mapValues(JSONValue.int)), "without_pairs": .int(withoutPairs),
            "pairs": .int(pairs), "exact_duplicates": .int(exactDuplicates), "near_duplicates": .int(nearDuplicates),
            "merged": .int(merged), "dropped_answers": .int(droppedAnswers), "written": .int(written),
        ])
    }
}
