import Crypto
import Pipeline

/// Takes records from one source after another through schema, templates, duplicates and merging to the shards.
///
/// Holds no more than a record, its buffers and, per pair, the entries of the duplicate filter and the merger, which
/// `duplicates.max_entries` bounds; the result does not depend on how the bytes were cut into chunks.
final class IngestEngine {
    private let parameters: IngestParameters
    private(set) var counts = IngestCounts()
    private var quotedReasons: [RecordReason] = []
    private var duplicates: DuplicateFilter
    private var merger: AnswerMerger?
    private var shards: ShardWriter
    private var quarantine: QuarantineWriter
    private var sources: [DatasetManifest.Source] = []

    init(_ parameters: IngestParameters, sink: any RecordSink, scratch: String) throws(IngestError) {
        self.parameters = parameters
        duplicates = DuplicateFilter(parameters.duplicates)
        shards = ShardWriter(
            sink: sink, shardBytes: parameters.shardBytes,
            holdsEqualPairs: parameters.merge.mode == .keep && !parameters.duplicates.removesExact)
        quarantine = QuarantineWriter(sink: sink, maximumRecords: parameters.errorBudget.quarantinedRecords)
        if parameters.merge.mode != .keep {
            merger = try AnswerMerger(
                parameters.merge, maximumBytes: parameters.limits.maximumRecordBytes, scratch: scratch)
        }
    }

    /// Reads one source to its end.
    ///
    /// - Parameter tick: Called after each chunk; may throw to stop.
    func read(
        _ source: any ByteSource, format: IngestParameters.Format,
        tick: (IngestCounts) async throws -> Void
    ) async throws {
        let metadata = source.metadata
        let readBefore = counts.read
        var hasher = SHA256()
        var bytes: Int64 = 0
        var sniffer = EncodingSniffer(uri: metadata.uri)
        var reader: SourceReader?
        for try await chunk in try await source.chunks() {
            hasher.update(data: chunk)
            bytes += Int64(chunk.count)
            counts.bytes += Int64(chunk.count)
            guard counts.bytes <= parameters.limits.maximumBytes else {
                throw limit("\(parameters.limits.maximumBytes) bytes", "limits.max_bytes", metadata.uri)
            }
            let text = try sniffer.feed(chunk)
            if !text.isEmpty { try feed(text, to: &reader, metadata, format, sniffer) }
            try await tick(counts)
        }
        let rest = try sniffer.finish()
        if !rest.isEmpty { try feed(rest, to: &reader, metadata, format, sniffer) }
        try metadata.check(read: bytes)
        if var last = reader {
            try last.finish { try take($0, $1, metadata.uri) }
        }
        guard counts.read > readBefore else {
            let content = bytes == 0 ? "is empty (0 bytes)" : "holds no records (\(bytes) bytes)"
            throw IngestError(.emptySource, "\(metadata.uri) \(content). Check what produced it.")
        }
        sources.append(
            DatasetManifest.Source(
                metadata: metadata, bytes: metadata.original?.bytes ?? bytes,
                sha256: metadata.original?.sha256 ?? hexadecimal(hasher.finalize())))
    }

    private func feed(
        _ text: [UInt8], to reader: inout SourceReader?, _ metadata: SourceMetadata,
        _ format: IngestParameters.Format, _ sniffer: EncodingSniffer
    ) throws {
        var current =
            try reader
            ?? SourceReader(
                uri: metadata.uri, format: format, startOffset: sniffer.skipped, parameters: parameters)
        reader = nil
        try current.feed(text) { try take($0, $1, metadata.uri) }
        reader = current
    }

    private func take(_ raw: RawRecord, _ outcome: Result<Record, Violations>, _ uri: String) throws {
        counts.read += 1
        guard counts.read <= parameters.limits.maximumRecords else {
            throw limit("\(parameters.limits.maximumRecords) records", "limits.max_records", "line \(raw.line)")
        }
        switch outcome {
        case .failure(let violations): try refuse(raw, violations.list, uri)
        case .success(let record):
            let made = parameters.templates.pairs(of: record, fallbackID: Self.identity(of: raw.bytes))
            switch made {
            case .failure(let violations): try refuse(raw, violations.list, uri)
            case .success(let pairs):
                counts.valid += 1
                if pairs.isEmpty { counts.withoutPairs += 1 }
                for pair in pairs { try keep(pair) }
            }
        }
    }

    /// The name of a raw record that has none of its own.
    private static func identity(of bytes: UnsafeBufferPointer<UInt8>) -> String {
        var hasher = SHA256()
        hasher.update(bufferPointer: UnsafeRawBufferPointer(bytes))
        return "record-" + hexadecimal(hasher.finalize().prefix(12))
    }

    private func keep(_ pair: QuestionAnswer) throws {
        counts.pairs += 1
        switch try duplicates.judge(pair, needsQuestion: merger != nil) {
        case .exact: counts.exactDuplicates += 1
        case .near: counts.nearDuplicates += 1
        case .fresh(let question):
            if let question, merger != nil {
                try merger?.add(pair, question: question)
            } else {
                try shards.write(pair, sourceIDs: [pair.sourceID])
                counts.written += 1
            }
        }
    }

    private func refuse(_ raw: RawRecord, _ violations: [RuleViolation], _ uri: String) throws {
        counts.bad += 1
        let reasons = violations.prefix(32).map { SourceReader.reason($0, raw, uri) }
        for rule in Set(violations.map(\.rule)) { counts.badByRule[rule, default: 0] += 1 }
        quotedReasons.append(
            contentsOf: reasons.prefix(max(0, parameters.errorBudget.quotedReasons - quotedReasons.count)))
        try quarantine.write(Array(reasons), raw: raw.bytes)
        try checkBudget(isEnd: false)
    }

    private func checkBudget(isEnd: Bool) throws(IngestError) {
        let budget = parameters.errorBudget
        guard budget.isExceeded(bad: counts.bad, read: counts.read, isEnd: isEnd) else { return }
        let allowed =
            budget.count.map { "at most \($0) and \(budget.fraction * 100) %" } ?? "at most \(budget.fraction * 100) %"
        throw IngestError(
            .errorBudgetExceeded,
            "\(counts.bad) of \(counts.read) records are bad; \(allowed) are allowed (error_budget). The first: "
                + quotedReasons.prefix(3).map(\.description).joined(separator: "; ")
                + ". All are in \(QuarantineWriter.name). Repair the source, or widen the budget.",
            reasons: quotedReasons)
    }

    /// Writes what is still held and returns the manifest.
    func finish(createdAt: Timestamp) throws -> DatasetManifest {
        try checkBudget(isEnd: true)
        guard counts.valid > 0 else {
            throw IngestError(
                .noValidRecords, "None of the \(counts.read) records is valid.", reasons: quotedReasons)
        }
        var merger = merger
        self.merger = nil
        var counts = counts
        try merger?.finish(counts: &counts) { pair, sourceIDs in
            try shards.write(pair, sourceIDs: sourceIDs)
            self.counts.written += 1
        }
        counts.written = self.counts.written
        self.counts = counts
        guard counts.written > 0 else {
            throw IngestError(
                .noValidRecords,
                "None of the \(counts.valid) valid records gives a question/answer pair: no template applies. Check the "
                    + "field names and conditions of the templates.")
        }
        try shards.finish()
        try quarantine.finish()
        return DatasetManifest(
            shards: shards.shards, counts: counts, sources: sources, parameters: parameters,
            quarantined: quarantine.records, createdAt: createdAt)
    }

    /// After a failure: what is known of the bad records is kept.
    func closeQuarantine() throws {
        try quarantine.finish()
    }

    private func limit(_ amount: String, _ parameter: String, _ place: String) -> IngestError {
        IngestError(
            .limitExceeded,
            "The sources hold more than \(amount) (\(parameter)), reached in \(place). Raise it, or split the source.")
    }
}
