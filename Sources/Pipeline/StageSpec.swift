/// One node of a pipeline.
package struct StageSpec: Hashable, Sendable, Codable {
    /// Unique in its pipeline; lower-case letters, digits, `-` and `_`, at most 63 characters.
    package var name: String
    /// What does the work: `ingest`, `preprocess`, `train`, `evaluate`, `register`, `notify`, `command`, `noop`.
    package var kind: String
    /// The worker pool, and so the queue.
    package var pool: String
    /// The stages whose outputs this one reads.
    package var needs: [String]
    package var condition: StageCondition
    /// How long one attempt may take, in seconds.
    package var timeoutSeconds: Double
    package var retry: RetryPolicy
    package var ackPolicy: AckPolicy
    /// Whether an equal earlier output may stand in for running the stage.
    package var cache: Bool
    /// Given to the stage's handler, after `${…}` has been filled in.
    package var parameters: JSONValue

    package init(
        name: String, kind: String, pool: String? = nil, needs: [String] = [], condition: StageCondition = .onSuccess,
        timeoutSeconds: Double = 3_600, retry: RetryPolicy = RetryPolicy(), ackPolicy: AckPolicy = .onResult,
        cache: Bool = false, parameters: JSONValue = .object([:])
    ) {
        self.name = name
        self.kind = kind
        self.pool = pool ?? kind
        self.needs = needs
        self.condition = condition
        self.timeoutSeconds = timeoutSeconds
        self.retry = retry
        self.ackPolicy = ackPolicy
        self.cache = cache
        self.parameters = parameters
    }
}

/// When a stage runs, once every stage it needs has ended.
package enum StageCondition: String, Hashable, Sendable, Codable, CaseIterable {
    /// All of them succeeded and none was rejected by a gate.
    case onSuccess = "on-success"
    /// Whatever became of them, after the run's outcome is known; it never changes the outcome.
    case always
}

/// When the broker's delivery is acknowledged.
package enum AckPolicy: String, Hashable, Sendable, Codable, CaseIterable {
    /// After the result is confirmed: a dead worker's task is redelivered by the broker at once.
    case onResult = "on-result"
    /// After the claim: for stages that may outlast the broker's delivery timeout. The lease and the
    /// ledger then carry the task.
    case onClaim = "on-claim"
}
