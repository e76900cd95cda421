package import Pipeline
import PostgresClient

extension Ledger {
    /// The newest runs first.
    package func listRuns(state: RunState?, pipeline: String?, limit: Int) async throws -> [RunLine] {
        let rows = try await postgres.query(
            SQL.operate["list_runs"],
            [state.map { .text($0.rawValue) } ?? .null, pipeline.map { .text($0) } ?? .null, .int(Int64(limit))])
        return try rows.map { row in
            RunLine(
                id: RunID(try row["id", as: String.self]), pipeline: try row["pipeline", as: String.self],
                state: try row.enumeration("state"), reason: try row["reason", as: String?.self],
                createdAt: try row.timestamp("created_at"), startedAt: try row.optionalTimestamp("started_at"),
                finishedAt: try row.optionalTimestamp("finished_at"), stages: try row["stages", as: Int.self],
                succeeded: try row["succeeded", as: Int.self], current: try row["current", as: String?.self])
        }
    }

    /// The run whose id is or begins with `text`; `latest` is the newest run.
    /// - Throws: ``LedgerError`` `notFound` or `ambiguous`.
    package func findRun(_ text: String) async throws -> RunID {
        if text == "latest" {
            guard let row = try await postgres.query(SQL.operate["latest_run"], []).first else {
                throw LedgerError(.notFound, "there are no runs yet: publish an event with `martlet event publish`")
            }
            return RunID(try row["id", as: String.self])
        }
        let ids = try await postgres.query(SQL.operate["find_runs"], [.text(text)]).map {
            try $0["id", as: String.self]
        }
        if ids.contains(text) { return RunID(text) }
        guard let id = ids.first, !text.isEmpty else {
            throw LedgerError(.notFound, "there is no run \(text): `martlet run list` shows the runs")
        }
        guard ids.count == 1 else {
            throw LedgerError(
                .ambiguous, "several runs begin with \(text): \(ids.joined(separator: ", ")), …; give more of the id")
        }
        return RunID(id)
    }

    /// - Throws: ``LedgerError`` `notFound`.
    package func run(_ id: RunID) async throws -> RunRecord {
        let parameter: [PostgresValue] = [.text(id.description)]
        let results = try await postgres.withConnection { connection in
            try await connection.pipeline([
                (SQL.operate["show_run"], parameter), (SQL.operate["show_tasks"], parameter),
                (SQL.operate["show_failures"], parameter), (SQL.operate["show_gate"], parameter),
            ])
        }
        guard let row = results[0].first else { throw LedgerError(.notFound, "there is no run \(id)") }
        return RunRecord(
            id: id, pipeline: try row["pipeline", as: String.self],
            pipelineDigest: try row["pipeline_digest", as: String.self],
            parameters: try JSON.decode([String: JSONValue].self, from: try row["parameters", as: String.self]),
            priority: try row["priority", as: Int.self], state: try row.enumeration("state"),
            reason: try row["reason", as: String?.self], generation: try row["generation", as: Int.self],
            eventSource: try row["event_source", as: String.self], eventID: try row["event_id", as: String.self],
            traceparent: try row["traceparent", as: String?.self], createdAt: try row.timestamp("created_at"),
            startedAt: try row.optionalTimestamp("started_at"), finishedAt: try row.optionalTimestamp("finished_at"),
            tasks: try results[1].map { try TaskRecord($0) }, failures: try results[2].map { try FailureRecord($0) },
            gates: try results[3].map { try GateRecord($0) }, effects: try await effects(of: id))
    }
}

extension TaskRecord {
    init(_ row: PostgresRow) throws {
        self.init(
            stage: try row["stage", as: String.self], kind: try row["kind", as: String.self],
            pool: try row["pool", as: String.self], state: try row.enumeration("state"),
            attempt: try row["attempt", as: Int.self], failures: try row["failures", as: Int.self],
            losses: try row["losses", as: Int.self], rejected: try row["rejected", as: Bool.self],
            dueAt: try row.optionalTimestamp("due_at"), output: try row.decoded("output"),
            failure: try row.decoded("failure"), fingerprint: try row["fingerprint", as: String?.self],
            token: try row["token", as: String?.self], worker: try row["worker", as: String?.self],
            log: try row["log", as: String?.self], readyAt: try row.optionalTimestamp("ready_at"),
            dispatchedAt: try row.optionalTimestamp("dispatched_at"),
            startedAt: try row.optionalTimestamp("started_at"), finishedAt: try row.optionalTimestamp("finished_at"))
    }
}

extension FailureRecord {
    init(_ row: PostgresRow) throws {
        let failure = Failure(
            class: try row.enumeration("class"), code: try row["code", as: String.self],
            message: try row["message", as: String.self], details: try row.decoded("details"))
        self.init(
            stage: try row["stage", as: String.self], attempt: try row["attempt", as: Int.self], failure: failure,
            fingerprint: try row["fingerprint", as: String.self], worker: try row["worker", as: String?.self],
            log: try row["log", as: String?.self], startedAt: try row.optionalTimestamp("started_at"),
            finishedAt: try row.timestamp("finished_at"))
    }
}

extension GateRecord {
    init(_ row: PostgresRow) throws {
        self.init(
            stage: try row["stage", as: String.self], attempt: try row["attempt", as: Int.self],
            accepted: try row["accepted", as: Bool.self],
            decision: try JSON.decode(JSONValue.self, from: try row["decision", as: String.self]),
            decidedAt: try row.timestamp("decided_at"))
    }
}

extension PostgresRow {
    /// A nullable column of JSON text.
    func decoded<Value: Decodable>(_ column: String) throws -> Value? {
        try self[column, as: String?.self].map { try JSON.decode(Value.self, from: $0) }
    }
}
