import FoundationEssentials
import Pipeline
import PostgresClient

/// Some runs, locked, with all their tasks: changed in memory by the pure machines and written back in one go.
struct RunBatch {
    struct Run {
        var id: RunID
        var state: RunState
        var spec: PipelineSpec
        /// JSON; decoded only when a stage becomes ready.
        var storedParameters: String
        var eventSource: String
        var eventID: String
        var createdAt: Timestamp
        var generation: Int
        var priority: Int
        var traceparent: String?
        var tracestate: String?
        var tasks: [LedgerTask]
        /// Why the run ended, if it did.
        var reason: String?
        var isFinishedNow = false

        func index(of stage: String) -> Int? {
            tasks.firstIndex { $0.stage == stage }
        }
    }

    var runs: [RunID: Run] = [:]
    /// Pools that got something to do.
    private(set) var readyPools: Set<String> = []
    /// Marked as dispatched in this transaction, and to be sent once it is committed.
    private(set) var handoffs: [Ledger.Dispatch] = []
    private(set) var newFailures: [NewFailure] = []

    struct NewFailure {
        var task: TaskID
        var attempt: Int
        var failure: Failure
        var fingerprint: String
        var worker: String?
        var log: String?
        var startedAt: Timestamp?
    }

    /// The statements that lock and load; their rows are for ``init(_:of:in:)``.
    static func loading(_ ids: some Sequence<RunID>) -> [(String, [PostgresValue])] {
        let ids = PostgresValue.textArray(Set(ids).map(\.description).sorted())
        return [(SQL.results["lock_runs"], [ids]), (SQL.results["load_tasks"], [ids])]
    }

    /// Runs that do not exist are absent from the batch.
    static func load(_ results: [PostgresRows], of ledger: Ledger, in connection: PostgresConnection) async throws
        -> RunBatch
    {
        var batch = RunBatch()
        for row in results[0] {
            let id = RunID(try row["id", as: String.self])
            batch.runs[id] = Run(
                id: id, state: try row.enumeration("state"),
                spec: try await ledger.pipeline(digest: try row["pipeline_digest", as: String.self], in: connection),
                storedParameters: try row["parameters", as: String.self],
                eventSource: try row["event_source", as: String.self], eventID: try row["event_id", as: String.self],
                createdAt: try row.timestamp("created_at"), generation: try row["generation", as: Int.self],
                priority: try row["priority", as: Int.self], traceparent: try row["traceparent", as: String?.self],
                tracestate: try row["tracestate", as: String?.self], tasks: [],
                reason: try row["reason", as: String?.self])
        }
        for row in results[1] {
            let task = try LedgerTask(row)
            batch.runs[task.run]?.tasks.append(task)
        }
        return batch
    }

    func pool(of task: TaskID) -> String? {
        guard let run = runs[task.run], let index = run.index(of: task.stage) else { return nil }
        return run.tasks[index].pool
    }

    // MARK: Changes

    /// What became of one result, for counting.
    enum Acceptance { case accepted, dropped }

    /// Applies the end of an attempt. The first result of the attempt that counts wins; every other is dropped.
    ///
    /// A task that is ready counts as well: a fast worker's result comes before the dispatcher has committed, and
    /// an attempt that is about to be sent again may have been alive all the time.
    mutating func apply(_ result: TaskResult, fraction: Double) throws -> Acceptance {
        guard let index = runs[result.task.run]?.index(of: result.task.stage),
            let task = runs[result.task.run]?.tasks[index],
            task.attempt == result.attempt, task.state.mayHaveResult,
            task.token == nil || task.token == result.token.description
        else { return .dropped }
        change(result.task, at: index) { task in
            task.token = result.token.description
            task.worker = result.worker
            task.log = result.log
            task.startedAt = result.startedAt
        }
        try end(
            result.task, at: index, with: .result(result.outcome, result.failure), output: result.output,
            finishedAt: result.finishedAt, fraction: fraction)
        return .accepted
    }

    /// Applies the loss of the lease of `attempt`; false when that attempt no longer counts.
    mutating func applyLoss(of id: TaskID, attempt: Int, now: Timestamp, fraction: Double) throws -> Bool {
        guard let index = runs[id.run]?.index(of: id.stage), let task = runs[id.run]?.tasks[index],
            task.attempt == attempt, task.state == .dispatched || task.state == .running
        else { return false }
        // The log that is known, if any, is of an attempt before.
        change(id, at: index) { $0.log = nil }
        try end(id, at: index, with: .leaseLost, output: nil, finishedAt: now, fraction: fraction)
        return true
    }

    private mutating func end(
        _ id: TaskID, at index: Int, with event: TaskMachine.Event, output: StageOutput?, finishedAt: Timestamp,
        fraction: Double
    ) throws {
        guard let run = runs[id.run] else { return }
        let task = run.tasks[index]
        let policy = run.spec.stage(named: id.stage)?.retry ?? RetryPolicy()
        let decision = TaskMachine(policy: policy).decision(for: event, counts: task.counts, fraction: fraction)
        switch decision {
        case .succeeded(let isRejected):
            change(id, at: index) { task in
                task.state = .succeeded
                task.isRejected = isRejected
                task.newOutput = output ?? StageOutput()
                task.failure = nil
                task.finishedAt = finishedAt
            }
        case .retry(let retry):
            if let failure = retry.failure { record(failure, of: task, in: id.run) }
            readyPools.insert(task.pool)
            change(id, at: index) { task in
                task.state = .ready
                task.attempt += 1
                task.adopt(retry.counts)
                task.failure = retry.failure
                task.dueIn = retry.delay
                task.token = nil
                task.worker = nil
                task.startedAt = nil
                task.finishedAt = nil
            }
        case .dead(let failure, let counts):
            record(failure, of: task, in: id.run)
            change(id, at: index) { task in
                task.state = .dead
                task.adopt(counts)
                task.failure = failure
                task.finishedAt = finishedAt
            }
        case .cancelled:
            change(id, at: index) { task in
                task.state = .cancelled
                task.finishedAt = finishedAt
            }
        }
    }

    private mutating func record(_ failure: Failure, of task: LedgerTask, in run: RunID) {
        newFailures.append(
            NewFailure(
                task: TaskID(run: run, stage: task.stage), attempt: task.attempt, failure: failure,
                fingerprint: failure.fingerprint(stageKind: task.kind), worker: task.worker, log: task.log,
                startedAt: task.startedAt))
    }

    private mutating func change(_ id: TaskID, at index: Int, _ body: (inout LedgerTask) throws -> Void) rethrows {
        guard let place = runs.index(forKey: id.run) else { return }
        try body(&runs.values[place].tasks[index])
        runs.values[place].tasks[index].isDirty = true
    }

    // MARK: Consequences

    /// Lets every run follow from its tasks: makes stages ready, skips them, ends the run.
    /// - Parameter grant: for stages that become ready.
    mutating func settle(grant: Ledger.Grant? = nil) throws {
        for id in runs.keys.sorted() {
            guard var run = runs[id] else { continue }
            let machine = RunMachine(pipeline: run.spec)
            let tasks = run.tasks.map {
                RunMachine.Task(stage: $0.stage, state: $0.state, isRejected: $0.isRejected)
            }
            for action in machine.actions(for: tasks, state: run.state) {
                switch action {
                case .makeReady(let stage): try makeReady(stage, of: &run, grant: grant)
                case .skip(let stage):
                    guard let index = run.index(of: stage) else { continue }
                    run.tasks[index].state = .skipped
                    run.tasks[index].isDirty = true
                case .finish(let state):
                    run.state = state
                    run.reason = try run.reason(for: state)
                    run.isFinishedNow = true
                }
            }
            runs[id] = run
        }
    }

    private mutating func makeReady(_ name: String, of run: inout Run, grant: Ledger.Grant?) throws {
        guard let index = run.index(of: name), let stage = run.spec.stage(named: name) else { return }
        do {
            let payload = try run.payload(for: stage).json
            run.tasks[index].newPayload = payload
            run.tasks[index].dueIn = .zero
            if let grant, grant(stage.pool) {
                run.tasks[index].state = .dispatched
                handoffs.append(
                    Ledger.Dispatch(
                        task: TaskID(run: run.id, stage: name), pool: stage.pool, attempt: run.tasks[index].attempt,
                        payload: payload, priority: run.priority, traceparent: run.traceparent,
                        tracestate: run.tracestate))
            } else {
                run.tasks[index].state = .ready
                readyPools.insert(stage.pool)
            }
        } catch let error as PipelineError {
            // Checked when the run was accepted, so only a pipeline that was changed by hand gets here.
            run.tasks[index].state = .dead
            run.tasks[index].failure = error.failure
            run.tasks[index].finishedAt = Timestamp.now
            record(error.failure, of: run.tasks[index], in: run.id)
        }
        run.tasks[index].isDirty = true
    }
}

extension TaskState {
    /// Some attempt of the task may be at work or have ended without the ledger's knowledge.
    fileprivate var mayHaveResult: Bool { self == .ready || self == .dispatched || self == .running }
}
