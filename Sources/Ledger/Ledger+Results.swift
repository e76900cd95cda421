package import Pipeline
import PostgresClient

extension Ledger {
    /// What followed from a batch of results.
    package struct Applied: Sendable {
        package var accepted = 0
        /// Of attempts that no longer count, of claims that are not theirs, or seen before.
        package var dropped: [TaskID] = []
        package var readyPools: Set<String> = []
        /// Dispatched by this transaction: to be sent now. Should that not happen, the reconciler finds them.
        package var handoffs: [Dispatch] = []
        /// How many attempts of each pool have ended.
        package var endedPools: [String: Int] = [:]
        package var finishedRuns: [RunID: RunState] = [:]
        /// Tasks whose attempt changed; their claims of before are void.
        package var failures: [(task: TaskID, failure: Failure)] = []
    }

    /// Applies the ends of attempts, in order, and all that follows from them, in one transaction.
    /// - Parameter grant: for stages that become ready.
    package func apply(_ results: [TaskResult], grant: Grant? = nil) async throws -> Applied {
        guard !results.isEmpty else { return Applied() }
        return try await withRuns(results.map(\.task.run), grant: grant) { batch in
            var applied = Applied()
            for result in results {
                switch try batch.apply(result, fraction: .random(in: 0..<1)) {
                case .accepted:
                    applied.accepted += 1
                    if let pool = batch.pool(of: result.task) { applied.endedPools[pool, default: 0] += 1 }
                case .dropped: applied.dropped.append(result.task)
                }
            }
            return applied
        }
    }

    /// Counts attempts whose lease is gone as lost; those that no longer count are left alone.
    package func applyLosses(_ losses: [(task: TaskID, attempt: Int)]) async throws -> Applied {
        guard !losses.isEmpty else { return Applied() }
        return try await withRuns(losses.map(\.task.run)) { batch in
            var applied = Applied()
            for (task, attempt) in losses {
                if try batch.applyLoss(of: task, attempt: attempt, now: .now, fraction: .random(in: 0..<1)) {
                    applied.accepted += 1
                } else {
                    applied.dropped.append(task)
                }
            }
            return applied
        }
    }

    /// Looks again at runs that stand still.
    package func settle(_ runs: [RunID]) async throws -> Applied {
        guard !runs.isEmpty else { return Applied() }
        return try await withRuns(runs) { _ in Applied() }
    }

    private func withRuns(
        _ ids: [RunID], grant: Grant? = nil, _ change: @Sendable (inout RunBatch) throws -> Applied
    ) async throws -> Applied {
        try await postgres.withTransaction(reading: RunBatch.loading(ids)) { connection, rows in
            var batch = try await RunBatch.load(rows, of: self, in: connection)
            var applied = try change(&batch)
            try batch.settle(grant: grant)
            applied.readyPools = batch.readyPools
            applied.handoffs = batch.handoffs
            applied.failures = batch.newFailures.map { ($0.task, $0.failure) }
            for run in batch.runs.values where run.isFinishedNow { applied.finishedRuns[run.id] = run.state }
            return (applied, batch.writing())
        }
    }

    /// Notes which attempts workers say they run. Attempts that no longer count are left alone.
    package func markStarted(_ started: [TaskStarted]) async throws {
        guard !started.isEmpty else { return }
        // Of several words about one attempt the last; a statement changes a row once only.
        let last = Dictionary(
            started.map { ("\($0.task)/\($0.attempt)", $0) }, uniquingKeysWith: { _, last in last }
        ).values
        _ = try await changeTasks(
            of: last.map(\.task.run), SQL.results["mark_started"],
            [
                .textArray(last.map(\.task.run.description)), .textArray(last.map(\.task.stage)),
                .intArray(last.map { Int64($0.attempt) }), .textArray(last.map(\.token.description)),
                .textArray(last.map(\.worker)),
                .timestampArray(last.map { PostgresTimestamp($0.startedAt) }),
            ])
    }

    /// Runs a statement that changes tasks behind the locks of their runs: without them it could wait for rows that a
    /// batch of results holds, while that batch waits for rows of this one.
    /// - Returns: how many tasks changed.
    func changeTasks(of runs: [RunID], _ statement: String, _ parameters: [PostgresValue]) async throws -> Int {
        // One pipeline is one transaction.
        try await postgres.withConnection { connection in
            let ids = PostgresValue.textArray(Set(runs).map(\.description).sorted())
            return try await connection.pipeline([(SQL.results["lock_only"], [ids]), (statement, parameters)])[1]
                .affectedRows
        }
    }
}
