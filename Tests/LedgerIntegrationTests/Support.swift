import Ledger
import Logging
import Pipeline
import PostgresClient
import TestServers

/// A ledger in a database of its own, migrated, with its client closed on both paths.
func withLedger<T: Sendable>(
    migrated: Bool = true, _ body: (Ledger, PostgresClient) async throws -> T
) async throws -> T {
    try await withLedger(at: try await TestServers.shared.postgres(), migrated: migrated, body)
}

func withLedger<T: Sendable>(
    at url: String, migrated: Bool = true, _ body: (Ledger, PostgresClient) async throws -> T
) async throws -> T {
    var configuration = try PostgresConfiguration(url: url)
    configuration.maximumConnections = 8
    configuration.sessionSettings = Ledger.sessionSettings
    let client = PostgresClient(configuration: configuration, logger: Logger(label: "test"))
    let ledger = Ledger(postgres: client, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    do {
        if migrated { try await ledger.migrate() }
        let result = try await body(ledger, client)
        await client.close()
        return result
    } catch {
        await client.close()
        throw error
    }
}

extension PipelineSpec {
    /// SHA-256-shaped, and different for different pipelines of one test.
    var testDigest: String {
        let text = String(UInt(bitPattern: hashValue), radix: 16)
        return String(repeating: "0", count: 64 - text.count) + text
    }

    static func chain(
        _ names: String..., retry: RetryPolicy = .immediate, parameters: [String: JSONValue] = [:]
    ) -> PipelineSpec {
        var stages: [StageSpec] = []
        for name in names {
            stages.append(
                StageSpec(name: name, kind: "noop", needs: stages.last.map { [$0.name] } ?? [], retry: retry))
        }
        return PipelineSpec(name: "chain", parameters: parameters, stages: stages)
    }
}

extension RetryPolicy {
    static let immediate = RetryPolicy(
        maximumAttempts: 3, initialDelaySeconds: 0, multiplier: 1, maximumDelaySeconds: 0)
}

func newRun(
    _ spec: PipelineSpec, source: String = "/test", event: String? = nil, priority: Int = 0,
    parameters: [String: JSONValue] = [:]
) -> NewRun {
    var generator = SystemRandomNumberGenerator()
    let id = RunID(at: .now, using: &generator)
    return NewRun(
        id: id, pipeline: spec, pipelineDigest: spec.testDigest,
        parameters: spec.parameters.merging(parameters) { _, new in new }, priority: priority, eventSource: source,
        eventID: event ?? id.description, traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate: nil)
}

extension Ledger {
    /// Accepts one run and returns its id.
    func start(_ spec: PipelineSpec, priority: Int = 0, parameters: [String: JSONValue] = [:]) async throws -> RunID {
        let run = newRun(spec, priority: priority, parameters: parameters)
        _ = try await accept([run])
        return run.id
    }

    /// Sends everything that is due in `pool`.
    @discardableResult
    func sendAll(pool: String = "noop") async throws -> Int {
        try await dispatch(pool: pool, limit: 1_000) { _ in [] }
    }

    func task(_ stage: String, of run: RunID) async throws -> TaskRecord? {
        try await self.run(run).tasks.first { $0.stage == stage }
    }
}

func result(
    _ run: RunID, _ stage: String, attempt: Int = 1, token: String = "t", outcome: TaskResult.Outcome = .succeeded,
    output: StageOutput? = nil, failure: Failure? = nil
) -> TaskResult {
    TaskResult(
        task: TaskID(run: run, stage: stage), attempt: attempt, token: ClaimToken(token), worker: "w1",
        outcome: outcome, output: output, failure: failure, startedAt: .now, finishedAt: .now,
        log: "runs/\(run)/\(stage)/logs/\(attempt).log")
}
