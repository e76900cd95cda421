package import Pipeline

/// One ingest: sources in, a dataset version out.
package struct IngestJob: Sendable {
    private let parameters: IngestParameters
    private let scratch: String
    private let clock: IngestClock
    private let now: @Sendable () -> Timestamp

    /// - Parameters:
    ///   - scratch: A folder for an intermediate file about as large as the dataset.
    ///   - clock: Started before, when more than reading the sources counts.
    ///   - now: The time for the manifest.
    package init(
        parameters: IngestParameters, scratch: String, clock: IngestClock? = nil,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.parameters = parameters
        self.scratch = scratch
        self.clock = clock ?? IngestClock(parameters.limits)
        self.now = now
    }

    /// Reads the sources in order and writes shards, quarantine and `dataset.json` into `sink`.
    ///
    /// After a failure the sink holds the quarantine, if records were bad.
    ///
    /// - Parameter progress: Called after each chunk.
    /// - Throws: `IngestError`, `CancellationError`, and what the sources and the sink throw.
    package func run(
        sources: [any ByteSource], sink: any RecordSink,
        progress: @Sendable (IngestCounts) async throws -> Void = { _ in }
    ) async throws -> DatasetManifest {
        try await withTaskExecutorPreference(IngestExecutor()) {
            try await read(sources, into: sink, progress: progress)
        }
    }

    private func read(
        _ sources: [any ByteSource], into sink: any RecordSink,
        progress: @Sendable (IngestCounts) async throws -> Void
    ) async throws -> DatasetManifest {
        let engine = try IngestEngine(parameters, sink: sink, scratch: scratch)
        do {
            for source in sources {
                let format = try SourceFormat.decide(parameters.format, source.metadata)
                try await engine.read(source, format: format) { counts in
                    try clock.check("\(counts.bytes) bytes and \(counts.read) records")
                    try await progress(counts)
                }
            }
            let manifest = try engine.finish(createdAt: now())
            try sink.append(Array((manifest.jsonValue.canonicalJSON + "\n").utf8), to: DatasetManifest.name)
            try sink.close(DatasetManifest.name)
            return manifest
        } catch {
            // The first failure is the one to tell; that the quarantine could not be kept as well adds nothing.
            try? engine.closeQuarantine()
            throw error
        }
    }
}
