import Pipeline
import PostgresClient

/// A row of `tasks` as the machines see and change it.
struct LedgerTask {
    var run: RunID
    var stage: String
    var kind: String
    var pool: String
    var state: TaskState
    var attempt: Int
    var failures: Int
    var losses: Int
    var isRejected: Bool
    var token: String?
    /// What it got to do, if it became ready now.
    var newPayload: String?
    var failure: Failure?
    var worker: String?
    var log: String?
    /// From now on, for a task that became ready.
    var dueIn: Duration?
    var startedAt: Timestamp?
    var finishedAt: Timestamp?
    var newOutput: StageOutput?
    var isDirty = false
    /// The last attempt wanted more memory than there was.
    var isResourceRetry: Bool
    /// And its payload does not say so yet.
    var becomesResourceRetry = false

    private let storedOutput: String?

    init(_ row: PostgresRow) throws {
        run = RunID(try row["run_id", as: String.self])
        stage = try row["stage", as: String.self]
        kind = try row["kind", as: String.self]
        pool = try row["pool", as: String.self]
        state = try row.enumeration("state")
        attempt = try row["attempt", as: Int.self]
        failures = try row["failures", as: Int.self]
        losses = try row["losses", as: Int.self]
        isRejected = try row["rejected", as: Bool.self]
        token = try row["token", as: String?.self]
        storedOutput = try row["output", as: String?.self]
        failure = try (try row["failure", as: String?.self]).map { try JSON.decode(Failure.self, from: $0) }
        worker = try row["worker", as: String?.self]
        log = try row["log", as: String?.self]
        startedAt = try row.optionalTimestamp("started_at")
        finishedAt = try row.optionalTimestamp("finished_at")
        isResourceRetry = try row["resource_retry", as: Bool?.self] ?? false
    }

    /// Decoded only when somebody asks: most tasks of a batch are not looked at.
    var output: StageOutput? {
        get throws {
            if let newOutput { return newOutput }
            return try storedOutput.map { try JSON.decode(StageOutput.self, from: $0) }
        }
    }

    var counts: TaskMachine.Counts {
        TaskMachine.Counts(failures: failures, lost: losses, isResourceRetry: isResourceRetry)
    }

    mutating func adopt(_ counts: TaskMachine.Counts) {
        failures = counts.failures
        losses = counts.lost
        becomesResourceRetry = becomesResourceRetry || counts.isResourceRetry && !isResourceRetry
        isResourceRetry = counts.isResourceRetry
    }
}

extension PostgresRow {
    func timestamp(_ column: String) throws -> Timestamp {
        Timestamp(microseconds: try self[column, as: PostgresTimestamp.self].microseconds)
    }

    func optionalTimestamp(_ column: String) throws -> Timestamp? {
        try self[column, as: PostgresTimestamp?.self].map { Timestamp(microseconds: $0.microseconds) }
    }

    func enumeration<Value: RawRepresentable<String>>(_ column: String) throws -> Value {
        let text = try self[column, as: String.self]
        guard let value = Value(rawValue: text) else {
            throw LedgerError(.corrupt, "column \(column) holds \"\(text)\", which is no \(Value.self)")
        }
        return value
    }
}
