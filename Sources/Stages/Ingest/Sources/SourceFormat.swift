/// Decides how a source is to be read.
package enum SourceFormat {
    /// Names of files that are data, and as what they are read.
    static let endings: [(ending: String, format: IngestParameters.Format)] = [
        (".jsonl", .jsonl), (".ndjson", .jsonl), (".json", .jsonl), (".csv", .csv), (".tsv", .tsv),
        (".parquet", .parquet),
    ]

    /// - Throws: `IngestError` with code `ingest.unknown_format`.
    package static func decide(
        _ wanted: IngestParameters.Format, _ metadata: SourceMetadata
    ) throws(IngestError) -> IngestParameters.Format {
        guard wanted == .auto else { return wanted }
        var path = metadata.uri.lowercased()
        // In the names of files and objects these are characters like any other.
        if path.hasPrefix("http://") || path.hasPrefix("https://") {
            path = String(path.prefix { $0 != "?" && $0 != "#" })
        }
        for (ending, format) in endings where path.hasSuffix(ending) { return format }
        let type = metadata.contentType?.prefix { $0 != ";" }.lowercased() ?? ""
        switch type.filter({ !$0.isWhitespace }) {
        case "application/jsonl", "application/x-ndjson", "application/x-jsonlines", "application/jsonlines",
            "application/json":
            return .jsonl
        case "text/csv", "application/csv": return .csv
        case "text/tab-separated-values": return .tsv
        case "application/vnd.apache.parquet", "application/x-parquet": return .parquet
        default:
            throw IngestError(
                .unknownFormat,
                "\(metadata.uri): neither its name nor its content type (\(type.isEmpty ? "none" : type)) tells the format; "
                    + "set \"format\" to jsonl, csv, tsv or parquet.")
        }
    }
}
