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
        let output = try context.workspace.subdirectory("output")
        let scratch = try context.workspace.subdirectory("scratch")
        let sink = DirectorySink(directory: output)
        do {
            let sources = try await readable(
                opener(context).sources(parameters.sources), parameters, scratch, context)
            guard let sources else { return .released }
            let job = IngestJob(parameters: parameters, scratch: scratch) {
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
        _ sources: [any ByteSource], _ parameters: IngestParameters, _ scratch: String, _ context: StageContext
    ) async throws -> [any ByteSource]? {
        var readable: [any ByteSource] = []
        for (index, source) in sources.enumerated() {
            guard try SourceFormat.decide(parameters.format, source.metadata) == .parquet else {
                readable.append(source)
                continue
            }
            let raw = "\(scratch)/source-\(index).parquet"
            let lines = "\(scratch)/source-\(index).jsonl"
            let folder = DirectorySink(directory: scratch)
            var bytes: Int64 = 0
            for try await chunk in try await source.chunks() {
                bytes += Int64(chunk.count)
                guard bytes <= parameters.limits.maximumBytes else {
                    throw IngestError(
                        .limitExceeded,
                        "\(source.metadata.uri) holds more than \(parameters.limits.maximumBytes) bytes "
                            + "(limits.max_bytes). Raise it, or split the source.")
                }
                try folder.append(chunk, to: "source-\(index).parquet")
            }
            guard bytes > 0 else { throw IngestError(.emptySource, "\(source.metadata.uri) is empty (0 bytes).") }
            try folder.close("source-\(index).parquet")
            let ending = try await PythonStage(environment: python()).run(
                "read-parquet", specification: .object(["file": .string(raw), "output": .string(lines)]),
                context: context)
            guard case .finished = ending else { return nil }
            try FileManager.default.removeItem(atPath: raw)
            readable.append(
                ConvertedSource(file: try FileByteSource(path: lines), original: source.metadata))
        }
        return readable
    }
}
