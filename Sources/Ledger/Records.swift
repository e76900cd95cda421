package import Pipeline

/// A run in a list.
package struct RunLine: Sendable, Codable {
    package var id: RunID
    package var pipeline: String
    package var state: RunState
    package var reason: String?
    package var createdAt: Timestamp
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
    package var stages: Int
    package var succeeded: Int
    /// The stage that is being worked on or waits for a worker.
    package var current: String?
}

/// A run with everything that the ledger knows of it.
package struct RunRecord: Sendable, Codable {
    package var id: RunID
    package var pipeline: String
    package var pipelineDigest: String
    package var parameters: [String: JSONValue]
    package var priority: Int
    package var state: RunState
    package var reason: String?
    /// 1, plus one for every retry by hand.
    package var generation: Int
    package var eventSource: String
    package var eventID: String
    package var traceparent: String?
    package var createdAt: Timestamp
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
    package var tasks: [TaskRecord]
    package var failures: [FailureRecord]
    package var gates: [GateRecord]
    package var effects: [EffectRecord]
}

package struct TaskRecord: Sendable, Codable {
    package var stage: String
    package var kind: String
    package var pool: String
    package var state: TaskState
    package var attempt: Int
    package var failures: Int
    package var losses: Int
    package var rejected: Bool
    package var dueAt: Timestamp?
    package var output: StageOutput?
    package var failure: Failure?
    package var fingerprint: String?
    package var token: String?
    package var worker: String?
    package var log: String?
    package var readyAt: Timestamp?
    package var dispatchedAt: Timestamp?
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
}

package struct FailureRecord: Sendable, Codable {
    package var stage: String
    package var attempt: Int
    package var failure: Failure
    package var fingerprint: String
    package var worker: String?
    package var log: String?
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp
}

package struct GateRecord: Sendable, Codable {
    package var stage: String
    package var attempt: Int
    package var accepted: Bool
    package var decision: JSONValue
    package var decidedAt: Timestamp
}

package struct EffectRecord: Sendable, Codable {
    package var key: String
    /// `claimed`, `done` or `failed`.
    package var state: String
    package var outcome: JSONValue?
    package var claimedAt: Timestamp
    package var doneAt: Timestamp?
}

/// A task that will not be tried again by itself.
package struct DeadTask: Sendable, Codable {
    package var run: RunID
    package var pipeline: String
    package var stage: String
    package var attempt: Int
    package var failures: Int
    package var failure: Failure?
    package var fingerprint: String?
    package var worker: String?
    package var log: String?
    package var finishedAt: Timestamp?
}

/// A message that could not be used.
package struct DeadLetter: Sendable, Codable {
    package var id: Int64
    package var receivedAt: Timestamp
    package var queue: String
    package var reason: String
    package var contentType: String?
    package var headers: JSONValue
    package var bodyBytes: Int64
    /// Only when one letter is asked for.
    package var body: [UInt8]?
}
