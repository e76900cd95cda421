import Pipeline
import PostgresClient

extension Ledger {
    /// Tasks that will not be tried again by themselves, the latest first.
    package func deadTasks(limit: Int) async throws -> [DeadTask] {
        try await postgres.query(SQL.operate["dead_tasks"], [.int(Int64(limit))]).map { row in
            DeadTask(
                run: RunID(try row["run_id", as: String.self]), pipeline: try row["pipeline", as: String.self],
                stage: try row["stage", as: String.self], attempt: try row["attempt", as: Int.self],
                failures: try row["failures", as: Int.self], failure: try row.decoded("failure"),
                fingerprint: try row["fingerprint", as: String?.self], worker: try row["worker", as: String?.self],
                log: try row["log", as: String?.self], finishedAt: try row.optionalTimestamp("finished_at"))
        }
    }

    /// Messages that could not be used, the latest first, without their bodies.
    package func deadLetters(limit: Int) async throws -> [DeadLetter] {
        try await postgres.query(SQL.operate["list_dead_letters"], [.int(Int64(limit))]).map { try DeadLetter($0) }
    }

    /// - Throws: ``LedgerError`` `notFound`.
    package func deadLetter(_ id: Int64) async throws -> DeadLetter {
        guard let row = try await postgres.query(SQL.operate["show_dead_letter"], [.int(id)]).first else {
            throw LedgerError(.notFound, "there is no dead letter \(id): `martlet failed list` shows them")
        }
        var letter = try DeadLetter(row)
        letter.body = try row["body", as: [UInt8].self]
        return letter
    }

    package struct Counts: Sendable, Codable {
        package var runsAlive: Int
        package var tasksDead: Int
        package var deadLetters: Int
    }

    package func counts() async throws -> Counts {
        guard let row = try await postgres.query(SQL.operate["counts"], []).first else {
            throw LedgerError(.corrupt, "PostgreSQL returned no row for a count")
        }
        return Counts(
            runsAlive: try row["runs_alive", as: Int.self], tasksDead: try row["tasks_dead", as: Int.self],
            deadLetters: try row["dead_letters", as: Int.self])
    }
}

extension DeadLetter {
    init(_ row: PostgresRow) throws {
        self.init(
            id: try row["id", as: Int64.self], receivedAt: try row.timestamp("received_at"),
            queue: try row["queue", as: String.self], reason: try row["reason", as: String.self],
            contentType: try row["content_type", as: String?.self],
            headers: try JSON.decode(JSONValue.self, from: try row["headers", as: String.self]),
            bodyBytes: try row["body_bytes", as: Int64.self])
    }
}
