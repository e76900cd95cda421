import Foundation
import HTTPTransport
import Ledger
import Logging
import MLflowClient
import ObjectStorage
import Pipeline
import PostgresClient
import TestServers

@testable import WorkerRuntime

/// What a worker would give a handler, on real servers: a bucket of this test's own, a folder, MLflow, a ledger.
struct Workbench: Sendable {
    let transport: HTTPTransport
    let storage: S3Client
    let bucket: String
    let folder: String
    let name: String

    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func with<Result: Sendable>(_ body: @Sendable (Workbench) async throws -> Result) async throws -> Result {
        let bench = try await make()
        do {
            let result = try await body(bench)
            await bench.cleanUp()
            return result
        } catch {
            await bench.cleanUp()
            throw error
        }
    }

    static func make() async throws -> Workbench {
        let server = try await TestServers.shared.s3()
        let transport = HTTPTransport(logger: quiet)
        let storage = try S3Client(
            configuration: S3Configuration(
                endpoint: server.endpoint, region: server.region,
                credentials: S3Credentials(accessKeyID: server.accessKey, secretAccessKey: server.secretKey)),
            transport: transport, logger: quiet)
        let name = "s-" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
        try await storage.createBucket(name)
        let folder = NSTemporaryDirectory() + "/martlet-" + name
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        return Workbench(transport: transport, storage: storage, bucket: name, folder: folder, name: name)
    }

    private func cleanUp() async {
        // Best effort on the way out: the servers and their data go with the test process.
        _ = try? await storage.deletePrefix(bucket: bucket, prefix: "")
        try? await storage.deleteBucket(bucket)
        try? FileManager.default.removeItem(atPath: folder)
        await transport.close()
    }

    func file(_ name: String, _ text: String) throws -> String {
        let path = folder + "/" + name
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// The same store with a secret that does not fit.
    func strangersStorage() throws -> S3Client {
        var configuration = storage.configuration
        configuration.credentials = S3Credentials(accessKeyID: "stranger", secretAccessKey: "wrong-secret-key")
        return try S3Client(configuration: configuration, transport: transport, logger: Self.quiet)
    }

    // MARK: Attempts

    /// A new claim of a task.
    func context(
        _ kind: String, run: RunID = .fresh(), parameters: JSONValue, inputs: [String: StageOutput] = [:],
        outcome: RunSummary? = nil, resourceRetry: Bool? = nil, storage: S3Client? = nil, stage: String? = nil
    ) -> StageContext {
        let token = "t" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
        return StageContext(
            payload: TaskPayload(
                run: run, pipeline: name, stage: stage ?? kind, kind: kind, pool: kind, timeoutSeconds: 600,
                ackPolicy: .onResult,
                cache: false, parameters: parameters, inputs: inputs, outcome: outcome, generation: 1,
                resourceRetry: resourceRetry),
            attempt: 1, token: ClaimToken(token), traceparent: nil, storage: storage ?? self.storage, bucket: bucket,
            log: TaskLog(), logger: Self.quiet, drain: DrainSignal(), workspace: Workspace(path: folder + "/" + token),
            reporter: ProgressReporter())
    }

    // MARK: MLflow

    func mlflow(url: String? = nil) async throws -> MLflowClient {
        let base: String
        if let url { base = url } else { base = try await TestServers.shared.mlflow() }
        return try MLflowClient(
            configuration: MLflowConfiguration(baseURL: base), transport: transport, logger: Self.quiet)
    }

    // MARK: The ledger

    /// A migrated ledger in a database of its own.
    func withLedger<Result: Sendable>(_ body: (Ledger) async throws -> Result) async throws -> Result {
        var configuration = try PostgresConfiguration(url: try await TestServers.shared.postgres())
        configuration.maximumConnections = 4
        let client = PostgresClient(configuration: configuration, logger: Self.quiet)
        let ledger = Ledger(postgres: client, logger: Self.quiet)
        do {
            try await ledger.migrate()
            let result = try await body(ledger)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    /// A run that the ledger knows, of a pipeline with one stage.
    func acceptedRun(_ ledger: Ledger) async throws -> RunID {
        let run = RunID.fresh()
        _ = try await ledger.accept([
            NewRun(
                id: run,
                pipeline: PipelineSpec(name: name, parameters: [:], stages: [StageSpec(name: "only", kind: "noop")]),
                pipelineDigest: String(repeating: "0", count: 64), parameters: [:], priority: 0, eventSource: "/test",
                eventID: run.description, traceparent: nil, tracestate: nil)
        ])
        return run
    }
}

extension RunID {
    static func fresh() -> RunID {
        var generator = SystemRandomNumberGenerator()
        return RunID(at: .now, using: &generator)
    }
}

extension TaskLog {
    /// Everything so far.
    var text: String {
        unstored().map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
    }
}

extension StageResult {
    /// The output, however the gate judged; nil when the task was given back.
    var output: StageOutput? {
        switch self {
        case .succeeded(let output), .rejected(let output): output
        case .released: nil
        }
    }
}
