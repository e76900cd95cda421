package import Pipeline

/// What an ingest stage is told to do. All parts have defaults, except `source`.
package struct IngestParameters: Hashable, Sendable {
    /// How the bytes of a source are to be read.
    package enum Format: String, Hashable, Sendable, CaseIterable {
        case auto, jsonl, csv, tsv, parquet
    }

    /// URIs (`file://`, `http(s)://`, `s3://`); a `file://` one may name a folder or hold `*` and `?` in its last part.
    package var sources: [String]
    /// By the name's ending, then by the content type.
    package var format = Format.auto
    package var csv = CSVOptions()
    package var schema = RecordSchema()
    package var templates = TemplateSet()
    package var limits = IngestLimits()
    package var errorBudget = ErrorBudget()
    package var duplicates = DuplicateOptions()
    package var merge = MergeOptions()
    package var licence: LicenceNote?
    /// A shard is closed once it holds this many bytes.
    package var shardBytes = 64 << 20

    package init(sources: [String]) {
        self.sources = sources
    }

    /// Checks everything that can be known before a byte is read.
    ///
    /// - Throws: `IngestError` with code `ingest.invalid_parameters` or `ingest.invalid_template`, naming the place.
    package init(_ value: JSONValue) throws(IngestError) {
        var reader = try ParameterReader(value, path: "")
        switch reader.value("source") {
        case .some(.string(let uri)): sources = [uri]
        case .some(.array): sources = try reader.strings("source") ?? []
        case .some(let other): throw reader.fault("source", "must be a URI or a list of URIs, not \(other.typeName)")
        case nil: throw reader.fault("source", "is required: the URI of the new data, or a list of URIs")
        }
        guard !sources.isEmpty, !sources.contains("") else { throw reader.fault("source", "must not be empty") }
        if let encoding = try reader.string("encoding"), !["utf-8", "utf8"].contains(encoding.lowercased()) {
            throw reader.fault("encoding", "must be \"utf-8\", not \"\(encoding)\"; convert the source first")
        }
        format = try reader.choice("format", default: .auto)
        if let part = try reader.reader("csv") { csv = try CSVOptions(part) }
        if let part = try reader.reader("schema") { schema = try RecordSchema(part) }
        if let part = try reader.reader("limits") { limits = try IngestLimits(part) }
        if let part = try reader.reader("error_budget") { errorBudget = try ErrorBudget(part) }
        if let part = try reader.reader("duplicates") { duplicates = try DuplicateOptions(part) }
        if let part = try reader.reader("merge") { merge = try MergeOptions(part) }
        if let part = try reader.reader("license") { licence = try LicenceNote(part) }
        if let bytes = try reader.integer("shard_bytes", in: 4_096...(8 << 30)) { shardBytes = Int(bytes) }
        templates = try TemplateSet(&reader)
        try reader.finish()
    }
}

extension CSVOptions {
    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        delimiter = try Self.character("delimiter", &reader) ?? delimiter
        quote = try Self.character("quote", &reader) ?? quote
        guard delimiter ?? UInt8(ascii: ",") != quote else {
            throw reader.fault("quote", "must differ from the delimiter")
        }
        hasHeader = try reader.bool("header", default: hasHeader)
        columns = try reader.strings("columns") ?? []
        if !hasHeader, columns.isEmpty {
            throw reader.fault("columns", "is required when \"header\" is false: the names of the columns, in order")
        }
        if hasHeader, !columns.isEmpty {
            throw reader.fault("columns", "is only for files without a header (\"header\": false)")
        }
        if let twice = CSVReader.firstRepeated(columns) { throw reader.fault("columns", "names \"\(twice)\" twice") }
        allowsTrailingDelimiter = try reader.bool("trailing_delimiter", default: allowsTrailingDelimiter)
        try reader.finish()
    }

    private static func character(
        _ key: String, _ reader: inout ParameterReader
    ) throws(IngestError) -> UInt8? {
        guard let text = try reader.string(key) else { return nil }
        let bytes = Array(text.utf8)
        guard bytes.count == 1, bytes[0] < 0x80, bytes[0] != 0x0A, bytes[0] != 0x0D else {
            throw reader.fault(key, "must be one ASCII character that is no line break")
        }
        return bytes[0]
    }
}
