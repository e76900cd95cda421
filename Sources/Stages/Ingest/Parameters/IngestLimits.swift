/// Bounds on what one ingest may take.
package struct IngestLimits: Hashable, Sendable {
    /// Over all sources.
    package var maximumBytes: Int64 = 100 << 30
    /// Raw records over all sources, good and bad.
    package var maximumRecords: Int64 = 100_000_000
    /// A longer record is a bad one. It is also the most of a record that is held in memory.
    package var maximumRecordBytes = 256 << 10
    package var timeLimit: Duration?

    package init() {}

    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        maximumBytes = try reader.integer("max_bytes", in: 1...Int64.max) ?? maximumBytes
        maximumRecords = try reader.integer("max_records", in: 1...Int64.max) ?? maximumRecords
        maximumRecordBytes = Int(
            try reader.integer("max_record_bytes", in: 64...(64 << 20)) ?? Int64(maximumRecordBytes))
        if let seconds = try reader.number("time_limit_seconds", in: 0.001...31_536_000) {
            timeLimit = .seconds(seconds)
        }
        try reader.finish()
    }
}
