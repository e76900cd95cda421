package import Pipeline
package import PostgresClient

extension Ledger {
    /// Whether a task of this pool that is ready now may be sent at once, instead of waiting for a dispatcher to look.
    package typealias Grant = @Sendable (_ pool: String) -> Bool

    /// A task that is about to be sent.
    package struct Dispatch: Sendable {
        package var task: TaskID
        package var pool: String
        package var attempt: Int
        /// ``TaskPayload`` as JSON.
        package var payload: String
        package var priority: Int
        package var traceparent: String?
        package var tracestate: String?
    }

    /// What a pool has to do.
    package struct PoolDemand: Sendable {
        package var pool: String
        /// Dispatched or running.
        package var inFlight: Int
    }

    /// The pools that have tasks due now.
    package func poolsWithWork() async throws -> [PoolDemand] {
        try await postgres.query(SQL.dispatch["pools_with_work"], []).map { row in
            PoolDemand(pool: try row["pool", as: String.self], inFlight: try row["in_flight", as: Int.self])
        }
    }

    /// When the next task that waits for its time is due; nil when none does.
    package func nextDue() async throws -> Timestamp? {
        try await postgres.query(SQL.dispatch["next_due"], []).first?.optionalTimestamp("due_at")
    }

    /// Takes up to `limit` due tasks of `pool`, the most urgent first, hands them to `send`, and marks as
    /// dispatched those that it sent; the others stay ready.
    ///
    /// The rows stay locked while `send` runs: a crash before the commit sends a task twice, never not at all,
    /// and the claim makes the second one harmless.
    /// - Parameter send: returns the tasks that could not be sent.
    /// - Returns: how many were sent.
    package func dispatch(
        pool: String, limit: Int, send: @Sendable ([Dispatch]) async throws -> [TaskID]
    ) async throws -> Int {
        let take = (SQL.dispatch["take"], [PostgresValue.text(pool), .int(Int64(limit))])
        return try await postgres.withTransaction(reading: [take]) { _, answers in
            let rows = answers[0]
            guard !rows.isEmpty else { return (0, []) }
            let dispatches = try rows.map { row in
                Dispatch(
                    task: TaskID(
                        run: RunID(try row["run_id", as: String.self]), stage: try row["stage", as: String.self]),
                    pool: pool,
                    attempt: try row["attempt", as: Int.self], payload: try row["payload", as: String.self],
                    priority: try row["priority", as: Int.self],
                    traceparent: try row["traceparent", as: String?.self],
                    tracestate: try row["tracestate", as: String?.self])
            }
            let unsent = try await send(dispatches)
            let sent = dispatches.count - unsent.count
            guard !unsent.isEmpty else { return (sent, []) }
            return (sent, [(SQL.dispatch["give_back"], Self.keys(of: unsent))])
        }
    }

    /// Makes tasks ready again that were marked as dispatched and could not be sent.
    package func giveBack(_ tasks: [TaskID]) async throws {
        guard !tasks.isEmpty else { return }
        _ = try await changeTasks(of: tasks.map(\.run), SQL.dispatch["give_back"], Self.keys(of: tasks))
    }

    private static func keys(of tasks: [TaskID]) -> [PostgresValue] {
        [.textArray(tasks.map(\.run.description)), .textArray(tasks.map(\.stage))]
    }
}

extension Ledger {
    /// Tells when some process made tasks ready; also after a reconnection, when some may have been missed.
    package func readyNotifications() -> AsyncThrowingStream<PostgresNotification, any Error> {
        postgres.listen(Self.readyChannel)
    }
}

extension Ledger {
    /// What a pool has to do and what it does.
    package struct PoolWork: Sendable, Codable {
        package var pool: String
        /// Due and not sent.
        package var ready: Int
        /// Dispatched or running.
        package var inFlight: Int
    }

    /// The work of every pool that has some.
    package func demand() async throws -> [PoolWork] {
        try await postgres.query(SQL.dispatch["demand"], []).map { row in
            PoolWork(
                pool: try row["pool", as: String.self], ready: try row["ready", as: Int.self],
                inFlight: try row["in_flight", as: Int.self])
        }
    }
}
