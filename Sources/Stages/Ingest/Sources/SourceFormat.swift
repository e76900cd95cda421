/// Decides how a source is to be read.
package enum SourceFormat {
    /// - Throws: `IngestError` with code `ingest.unknown_format`.
    package static func decide(
        _ wanted: IngestParameters.Format, _ metadata: SourceMetadata
    ) throws(IngestError) -> IngestParameters.Format {
        guard wanted == .auto else { return wanted }
        let path = metadata.uri.prefix { $0 != "?" && $0 != "#" }.lowercased()
        for (ending, format) in [
            (".jsonl", IngestParameters.Format.jsonl), (".ndjson", .jsonl), (".json", .jsonl), (".csv", .csv),
            (".parquet", .parquet),
        ] where path.hasSuffix(ending) {
            return format
        }
        let type = metadata.contentType?.prefix { $0 != ";" }.lowercased() ?? ""
        switch type.filter({ !$0.isWhitespace }) {
        case "application/jsonl", "application/x-ndjson", "application/x-jsonlines", "application/jsonlines",
            "application/json":
            return .jsonl
        case "text/csv", "application/csv": return .csv
        case "application/vnd.apache.parquet", "application/x-parquet": return .parquet
        default:
            throw IngestError(
                .unknownFormat,
                "\(metadata.uri): neither its name nor its content type (\(type.isEmpty ? "none" : type)) tells the format; "
                    + "set \"format\" to jsonl, csv or parquet.")
        }
    }
}
