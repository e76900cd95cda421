import Crypto
import Foundation
package import HTTPTransport
import ObjectStorage
package import Pipeline
package import StageSupport
package import WorkerRuntime

extension IngestError: FailureConvertible {}

/// The ingest stage: new data in, a dataset version in the object store out.
package struct IngestHandler: StageHandler {
    package let kind = "ingest"
    package let version = "2"

    private let transport: HTTPTransport
    private let access: SourceAccess
    private let python: PythonStage.Provider

    /// - Parameter python: Asked only when a source is Parquet.
    package init(transport: HTTPTransport, access: SourceAccess, python: @escaping PythonStage.Provider) {
        self.transport = transport
        self.access = access
        self.python = python
    }

    package func cacheValidator(_ context: StageContext) async throws -> JSONValue? {
        let parameters = try IngestParameters(context.payload.parameters)
        var validators: [JSONValue] = []
        do {
            for source in try await opener(context).sources(parameters.sources) {
                let metadata = source.metadata
                guard let validator = metadata.validator else { return nil }
                validators.append(
                    .object([
                        "uri": .string(metadata.uri), "validator": .string(validator),
                        "size": metadata.size.map(JSONValue.int) ?? .null,
                    ]))
            }
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // A source that cannot be looked at is not in the cache; running the stage tells what is wrong with it.
            context.log.line("not taken from the cache: \(error)")
            return nil
        }
        return .array(validators)
    }

    package func run(_ context: StageContext) async throws -> StageResult {
        let parameters = try IngestParameters(context.payload.parameters)
        let clock = IngestClock(parameters.limits)
        let output = try context.workspace.subdirectory("output")
        let scratch = try context.workspace.subdirectory("scratch")
        let sink = DirectorySink(directory: output)
        do {
            let sources = try await readable(
                opener(context).sources(parameters.sources), parameters, clock, scratch, context)
            guard let sources else { return .released }
            let job = IngestJob(parameters: parameters, scratch: scratch, clock: clock) {
                Timestamp(seconds: Date().timeIntervalSince1970)
            }
            let total = sources.reduce(Int64?(0)) { sum, source in
                sum.flatMap { sum in source.metadata.size.map { sum + $0 } }
            }
            let manifest = try await job.run(sources: sources, sink: sink) { counts in
                var progress: [String: JSONValue] = [
                    "bytes": .int(counts.bytes), "records": .int(counts.read), "bad": .int(counts.bad),
                    "message": .string("\(counts.read) records read"),
                ]
                if let total, total > 0 {
                    progress["fraction"] = .double(min(1, Double(counts.bytes) / Double(total)))
                }
                context.report(progress: .object(progress))
            }
            let counts = manifest.counts
            context.log.line("read \(counts.read) records, \(counts.bad) bad; wrote \(counts.written)")
            let reference = try await context.publish(directory: output)
            return .succeeded(
                StageOutput(
                    artifacts: reference,
                    values: .object([
                        "type": .string(OutputType.dataset.rawValue), "version": .string(manifest.version),
                        "digest": .string(manifest.version), "counts": counts.jsonValue,
                        "license": parameters.licence.map { .string($0.name) } ?? .null,
                    ]),
                    digest: manifest.version))
        } catch var error as IngestError {
            for reason in error.reasons { context.log.line("bad record: \(reason)") }
            if let place = await keepQuarantine(output, context) { error.message += " Bad records: \(place)." }
            throw error
        }
    }

    private func opener(_ context: StageContext) -> SourceOpener {
        SourceOpener(transport: transport, storage: context.storage, access: access)
    }

    /// Uploads what is known of the bad records of a failed attempt; returns where it is.
    private func keepQuarantine(_ output: String, _ context: StageContext) async -> String? {
        let file = output + "/" + QuarantineWriter.name
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        let key = context.outputPrefix + QuarantineWriter.name
        do {
            _ = try await context.storage.upload(file: file, bucket: context.bucket, key: key)
            return "s3://\(context.bucket)/\(key)"
        } catch {
            // The failure itself matters more; its first reasons are in it and in this log.
            context.log.line("the quarantine could not be kept: \(error)")
            return nil
        }
    }

    /// Sources whose bytes are text: Parquet is turned into JSON lines first. Nil when the worker stops meanwhile.
    private func readable(
        _ sources: [any ByteSource], _ parameters: IngestParameters, _ clock: IngestClock, _ scratch: String,
        _ context: StageContext
    ) async throws -> [any ByteSource]? {
        var readable: [any ByteSource] = []
        // Of all sources, as they lie there and as text.
        var (rawBytes, textBytes) = (Int64(0), Int64(0))
        for (index, source) in sources.enumerated() {
            guard try SourceFormat.decide(parameters.format, source.metadata) == .parquet else {
                readable.append(source)
                continue
            }
            let raw = "source-\(index).parquet"
            let lines = "\(scratch)/source-\(index).jsonl"
            let folder = DirectorySink(directory: scratch)
            let uri = source.metadata.uri
            let rawBefore = rawBytes
            let (bytes, hasher) = try await withTaskExecutorPreference(IngestExecutor()) {
                var bytes: Int64 = 0
                var hasher = SHA256()
                for try await chunk in try await source.chunks() {
                    bytes += Int64(chunk.count)
                    guard rawBefore + bytes <= parameters.limits.maximumBytes else { throw tooLarge(uri, parameters) }
                    hasher.update(data: chunk)
                    try folder.append(chunk, to: raw)
                    try clock.check("\(rawBefore + bytes) bytes of Parquet")
                }
                return (bytes, hasher)
            }
            rawBytes += bytes
            guard bytes > 0 else { throw IngestError(.emptySource, "\(uri) is empty (0 bytes).") }
            try source.metadata.check(read: bytes)
            try folder.close(raw)
            let specification: [String: JSONValue] = [
                "file": .string("\(scratch)/\(raw)"), "output": .string(lines),
                "max_bytes": .int(max(1, parameters.limits.maximumBytes - textBytes)),
                "max_seconds": clock.rest.map { .double(max(0, $0 / .seconds(1))) } ?? .null,
            ]
            do {
                let ending = try await PythonStage(environment: python()).run(
                    "read-parquet", specification: .object(specification), context: context)
                guard case .finished = ending else { return nil }
            } catch let error as StageFailure where error.failure.code == "read-parquet.limit_exceeded" {
                throw tooLarge(uri, parameters, cause: error)
            } catch let error as StageFailure where error.failure.code == "read-parquet.time_limit_exceeded" {
                throw clock.exceeded("\(uri): \(error.failure.message)")
            }
            try FileManager.default.removeItem(atPath: "\(scratch)/\(raw)")
            let file = try FileByteSource(path: lines)
            textBytes += file.metadata.size ?? 0
            readable.append(
                ConvertedSource(
                    file: file, original: source.metadata, bytes: bytes, sha256: hexadecimal(hasher.finalize())))
        }
        return readable
    }

    private func tooLarge(_ uri: String, _ parameters: IngestParameters, cause: StageFailure? = nil) -> IngestError {
        IngestError(
            .limitExceeded,
            "The sources hold more than \(parameters.limits.maximumBytes) bytes (limits.max_bytes), reached in \(uri)"
                + (cause.map { ": \($0.failure.message)" } ?? "") + ". Raise it, or split the source.", cause: cause)
    }
}
