/// How many bad records an ingest tolerates.
package struct ErrorBudget: Hashable, Sendable {
    /// Of all records read. Checked at the end, and during the run once `earlyCheckAfter` records are read.
    package var fraction = 0.01
    /// Checked at every bad record; nil for no bound but the fraction.
    package var count: Int64?
    /// From this many records on, a source that is over the fraction is given up without reading its rest.
    package var earlyCheckAfter: Int64 = 100_000
    /// How many reasons a failure quotes.
    package var quotedReasons = 10
    /// A JSONL source whose last line is cut short has lost data behind it. `true` counts that line as one
    /// bad record; otherwise the ingest fails.
    package var allowsTruncation = false
    /// Bad records kept with their bytes; later ones are only counted.
    package var quarantinedRecords: Int64 = 100_000

    package init() {}

    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        fraction = try reader.number("fraction", in: 0...1) ?? fraction
        count = try reader.integer("count", in: 0...Int64.max)
        earlyCheckAfter = try reader.integer("early_check_after", in: 1...Int64.max) ?? earlyCheckAfter
        quotedReasons = Int(try reader.integer("quoted_reasons", in: 1...100) ?? Int64(quotedReasons))
        allowsTruncation = try reader.bool("allow_truncation", default: allowsTruncation)
        quarantinedRecords = try reader.integer("max_quarantined", in: 0...Int64.max) ?? quarantinedRecords
        try reader.finish()
    }

    func isExceeded(bad: Int64, read: Int64, isEnd: Bool) -> Bool {
        if let count, bad > count { return true }
        guard isEnd || read >= earlyCheckAfter else { return false }
        return Double(bad) > fraction * Double(read)
    }
}
