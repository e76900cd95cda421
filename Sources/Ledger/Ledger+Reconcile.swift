package import Pipeline
import PostgresClient

extension Ledger {
    /// A task that is out, as the ledger sees it.
    package struct InFlight: Sendable {
        package var task: TaskID
        package var attempt: Int
        package var state: TaskState
        package var pool: String
        /// Since it was sent.
        package var ageSeconds: Double

        package init(task: TaskID, attempt: Int, state: TaskState, pool: String, ageSeconds: Double) {
            self.task = task
            self.attempt = attempt
            self.state = state
            self.pool = pool
            self.ageSeconds = ageSeconds
        }
    }

    /// Tasks sent at least `age` ago that have not ended, oldest first.
    package func inFlight(olderThan age: Duration, limit: Int) async throws -> [InFlight] {
        let (seconds, attoseconds) = age.components
        let rows = try await postgres.query(
            SQL.reconcile["in_flight"],
            [.double(Double(seconds) + Double(attoseconds) / 1e18), .int(Int64(limit))])
        return try rows.map { row in
            InFlight(
                task: TaskID(run: RunID(try row["run_id", as: String.self]), stage: try row["stage", as: String.self]),
                attempt: try row["attempt", as: Int.self], state: try row.enumeration("state"),
                pool: try row["pool", as: String.self], ageSeconds: try row["age_seconds", as: Double.self])
        }
    }

    /// Sends attempts again that were lost before anybody claimed them. The attempt keeps its number: should the
    /// first message turn up after all, one of the two is refused at the claim.
    package func sendAgain(_ tasks: [(task: TaskID, attempt: Int)]) async throws -> Int {
        guard !tasks.isEmpty else { return 0 }
        return try await changeTasks(
            of: tasks.map(\.task.run), SQL.reconcile["make_ready_again"],
            [
                .textArray(tasks.map(\.task.run.description)), .textArray(tasks.map(\.task.stage)),
                .intArray(tasks.map { Int64($0.attempt) }),
            ])
    }

    /// Runs that are alive although none of their tasks can move.
    package func stuckRuns() async throws -> [RunID] {
        try await postgres.query(SQL.reconcile["stuck_runs"], []).map { RunID(try $0["id", as: String.self]) }
    }

    /// Those of `runs` that were cancelled.
    package func cancelled(among runs: some Sequence<RunID>) async throws -> [RunID] {
        try await postgres.query(SQL.reconcile["cancelled_runs"], [.textArray(runs.map(\.description))]).map {
            RunID(try $0["id", as: String.self])
        }
    }

    /// What one scheduler at a time does. The raw values are keys of advisory locks, of this project's own.
    package enum Duty: Int64, Sendable {
        case reconciling = 7_203_914_850_322
        case schedules = 7_203_914_850_323
    }

    /// Runs `body` if no other scheduler is at it; the lock is held until the transaction ends.
    /// - Returns: nil when another scheduler leads.
    package func asLeader<Value: Sendable>(
        of duty: Duty, _ body: @Sendable () async throws -> Value
    ) async throws -> Value? {
        try await postgres.withTransaction { connection in
            let rows = try await connection.query(SQL.reconcile["try_leader"], [.int(duty.rawValue)])
            guard let row = rows.first, try row["leads", as: Bool.self] else { return nil }
            return try await body()
        }
    }

    package func lastTick(pipeline: String, schedule: String) async throws -> Timestamp? {
        try await postgres.query(SQL.reconcile["last_tick"], [.text(pipeline), .text(schedule)]).first?
            .timestamp("tick")
    }

    package func recordTick(pipeline: String, schedule: String, tick: Timestamp) async throws {
        _ = try await postgres.query(
            SQL.reconcile["record_tick"], [.text(pipeline), .text(schedule), .timestamp(PostgresTimestamp(tick))])
    }
}
