package import Pipeline
import PostgresClient

extension Ledger {
    package struct Accepted: Sendable {
        /// The runs that are new; the others were asked for by events that are already known.
        package var newRuns: Set<RunID>
        package var readyPools: Set<String>
        /// Dispatched by this transaction: to be sent now. Should that not happen, the reconciler finds them.
        package var handoffs: [Dispatch] = []
    }

    /// Writes runs with their first tasks, and what could not be read, in one transaction.
    ///
    /// A run whose event (source, id) is known is left out: an event counts once, however often it arrives.
    /// - Parameter grant: for the first stages of the runs.
    package func accept(
        _ runs: [NewRun], deadLetters: [NewDeadLetter] = [], grant: Grant? = nil
    ) async throws -> Accepted {
        let tasks = try runs.flatMap { try Self.firstTasks(of: $0, grant: grant) }
        var accepted = Accepted(newRuns: [], readyPools: [])
        let fresh = Dictionary(
            runs.filter { !isRemembered(digest: $0.pipelineDigest) }.map { ($0.pipelineDigest, $0.pipeline) },
            uniquingKeysWith: { first, _ in first })
        do {
            accepted.newRuns = try await write(runs, tasks: tasks, pipelines: fresh, deadLetters: deadLetters)
        } catch {
            // A pipeline that was there when it was remembered may be gone, in a ledger restored from a backup.
            forget(digests: runs.map(\.pipelineDigest))
            throw error
        }
        for (digest, spec) in fresh { remember(spec, digest: digest) }
        for task in tasks where task.state == .ready && accepted.newRuns.contains(task.run) {
            accepted.readyPools.insert(task.pool)
        }
        let traces = Dictionary(runs.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for task in tasks where task.state == .dispatched && accepted.newRuns.contains(task.run) {
            guard let run = traces[task.run], let payload = task.payload else { continue }
            accepted.handoffs.append(
                Dispatch(
                    task: TaskID(run: task.run, stage: task.stage.name), pool: task.pool, attempt: 1, payload: payload,
                    priority: run.priority, traceparent: run.traceparent, tracestate: run.tracestate))
        }
        return accepted
    }

    /// - Returns: the runs that are new.
    private func write(
        _ runs: [NewRun], tasks: [FirstTask], pipelines: [String: PipelineSpec], deadLetters: [NewDeadLetter]
    ) async throws -> Set<RunID> {
        // One pipeline is one transaction.
        try await postgres.withConnection { connection in
            var statements: [(String, [PostgresValue])] = []
            for (digest, spec) in pipelines.sorted(by: { $0.key < $1.key }) {
                statements.append(
                    (SQL.accept["insert_pipeline"], [.text(digest), .text(spec.name), .json(try JSON.encode(spec))]))
            }
            let events = statements.count
            if !runs.isEmpty {
                statements.append((SQL.accept["insert_events"], Self.eventColumns(runs)))
                statements.append((SQL.accept["insert_runs"], Self.runColumns(runs)))
                statements.append((SQL.accept["insert_tasks"], Self.taskColumns(tasks)))
            }
            if !deadLetters.isEmpty {
                statements.append((SQL.accept["insert_dead_letters"], try Self.deadLetterColumns(deadLetters)))
            }
            guard !statements.isEmpty else { return [] }
            let results = try await connection.pipeline(statements)
            guard !runs.isEmpty else { return [] }
            return Set(try results[events].map { RunID(try $0["run_id", as: String.self]) })
        }
    }

    /// The run that an event started, if the event is known.
    package func run(ofEvent id: String, source: String) async throws -> RunID? {
        let rows = try await postgres.query(SQL.accept["run_of_event"], [.text(source), .text(id)])
        return try rows.first.map { RunID(try $0["run_id", as: String.self]) }
    }

    private struct FirstTask {
        var run: RunID
        var stage: StageSpec
        var position: Int
        var pool: String
        var state: TaskState
        var payload: String?
    }

    private static func firstTasks(of run: NewRun, grant: Grant?) throws -> [FirstTask] {
        let values = ParameterScope.values(
            parameters: run.parameters, run: run.id, pipeline: run.pipeline.name, eventSource: run.eventSource,
            eventID: run.eventID)
        return try run.pipeline.stages.enumerated().map { position, stage in
            guard stage.needs.isEmpty, stage.condition == .onSuccess else {
                return FirstTask(
                    run: run.id, stage: stage, position: position, pool: stage.pool, state: .pending, payload: nil)
            }
            let payload = TaskPayload(
                run: run.id, pipeline: run.pipeline.name, stage: stage.name, kind: stage.kind, pool: stage.pool,
                timeoutSeconds: stage.timeoutSeconds, ackPolicy: stage.ackPolicy, cache: stage.cache,
                parameters: try ParameterTemplate.fill(stage.parameters, with: values), inputs: [:], generation: 1)
            return FirstTask(
                run: run.id, stage: stage, position: position, pool: stage.pool,
                state: grant?(stage.pool) == true ? .dispatched : .ready, payload: payload.json)
        }
    }

    private static func eventColumns(_ runs: [NewRun]) -> [PostgresValue] {
        [
            .textArray(runs.map(\.eventSource)), .textArray(runs.map(\.eventID)),
            .textArray(runs.map(\.id.description)),
        ]
    }

    private static func runColumns(_ runs: [NewRun]) -> [PostgresValue] {
        [
            .textArray(runs.map(\.id.description)), .textArray(runs.map(\.pipeline.name)),
            .textArray(runs.map(\.pipelineDigest)),
            .textArray(runs.map { JSONValue.object($0.parameters).canonicalJSON }),
            .intArray(runs.map { Int64($0.priority) }), .textArray(runs.map(\.eventSource)),
            .textArray(runs.map(\.eventID)), .textArray(runs.map(\.traceparent)), .textArray(runs.map(\.tracestate)),
        ]
    }

    private static func taskColumns(_ tasks: [FirstTask]) -> [PostgresValue] {
        [
            .textArray(tasks.map(\.run.description)), .textArray(tasks.map(\.stage.name)),
            .intArray(tasks.map { Int64($0.position) }), .textArray(tasks.map(\.stage.kind)),
            .textArray(tasks.map(\.pool)), .textArray(tasks.map(\.state.rawValue)), .textArray(tasks.map(\.payload)),
        ]
    }

    private static func deadLetterColumns(_ letters: [NewDeadLetter]) throws -> [PostgresValue] {
        [
            .textArray(letters.map { $0.queue.withoutNUL }), .textArray(letters.map { $0.reason.withoutNUL }),
            .textArray(letters.map { $0.contentType?.withoutNUL }),
            .textArray(letters.map { $0.headers.withoutNUL.canonicalJSON }),
            .bytesArray(letters.map(\.body)), .intArray(letters.map { Int64($0.bodyBytes) }),
        ]
    }
}
