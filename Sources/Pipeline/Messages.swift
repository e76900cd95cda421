/// The `type` of every CloudEvent that Martlet sends, version last.
package enum MessageType {
    /// New data: starts a run. From producers.
    package static let dataAvailable = "dev.martlet.data.available.v1"
    /// A task for a worker.
    package static let task = "dev.martlet.task.v1"
    /// A worker has started an attempt that takes a while.
    package static let taskStarted = "dev.martlet.task.started.v1"
    /// An attempt has ended.
    package static let taskResult = "dev.martlet.task.result.v1"
}

/// What a producer says: run this pipeline.
package struct DataAvailable: Hashable, Sendable, Codable {
    package var pipeline: String
    /// Overrides of the pipeline's parameters.
    package var parameters: [String: JSONValue]?
    /// Overrides the pipeline's priority.
    package var priority: Int?

    package init(pipeline: String, parameters: [String: JSONValue]? = nil, priority: Int? = nil) {
        self.pipeline = pipeline
        self.parameters = parameters
        self.priority = priority
    }
}

/// All that a worker must know to run a task. Stored with the task when it becomes ready, so that every attempt
/// of it gets the same.
package struct TaskPayload: Hashable, Sendable, Codable {
    package var run: RunID
    package var pipeline: String
    package var stage: String
    package var kind: String
    package var pool: String
    package var timeoutSeconds: Double
    package var ackPolicy: AckPolicy
    package var cache: Bool
    package var parameters: JSONValue
    /// The outputs of the stages that this one needs, by stage name.
    package var inputs: [String: StageOutput]
    /// For a stage that runs whatever became of the others: how the run ended.
    package var outcome: RunSummary?
    /// Of the run: 1, plus one for every retry by hand. What is told to the outside is told once per generation.
    package var generation: Int?
    /// The last attempt failed for want of memory: run with half of what it took. Set by ``TaskMachine``.
    package var resourceRetry: Bool?

    package init(
        run: RunID, pipeline: String, stage: String, kind: String, pool: String, timeoutSeconds: Double,
        ackPolicy: AckPolicy, cache: Bool, parameters: JSONValue, inputs: [String: StageOutput],
        outcome: RunSummary? = nil, generation: Int? = nil, resourceRetry: Bool? = nil
    ) {
        self.run = run
        self.pipeline = pipeline
        self.stage = stage
        self.kind = kind
        self.pool = pool
        self.timeoutSeconds = timeoutSeconds
        self.ackPolicy = ackPolicy
        self.cache = cache
        self.parameters = parameters
        self.inputs = inputs
        self.outcome = outcome
        self.generation = generation
        self.resourceRetry = resourceRetry
    }

    package var task: TaskID { TaskID(run: run, stage: stage) }

    /// Whether the task runs whatever became of its run, so also after that was cancelled.
    package var isUncancellable: Bool { outcome != nil }
}

/// How a run ended and how its stages did; given to stages with ``StageCondition/always``.
package struct RunSummary: Hashable, Sendable, Codable {
    package struct Stage: Hashable, Sendable, Codable {
        package var name: String
        package var state: TaskState
        package var attempts: Int
        package var startedAt: Timestamp?
        package var finishedAt: Timestamp?
        package var output: StageOutput?
        package var failure: Failure?

        package init(
            name: String, state: TaskState, attempts: Int, startedAt: Timestamp? = nil, finishedAt: Timestamp? = nil,
            output: StageOutput? = nil, failure: Failure? = nil
        ) {
            self.name = name
            self.state = state
            self.attempts = attempts
            self.startedAt = startedAt
            self.finishedAt = finishedAt
            self.output = output
            self.failure = failure
        }
    }

    package var state: RunState
    /// Why, in one sentence, unless it succeeded.
    package var reason: String?
    package var createdAt: Timestamp
    package var stages: [Stage]

    package init(state: RunState, reason: String? = nil, createdAt: Timestamp, stages: [Stage]) {
        self.state = state
        self.reason = reason
        self.createdAt = createdAt
        self.stages = stages
    }
}

/// A worker's word that an attempt runs, sent only when the attempt outlasts the first moments.
package struct TaskStarted: Hashable, Sendable, Codable {
    package var task: TaskID
    package var attempt: Int
    package var token: ClaimToken
    package var worker: String
    package var startedAt: Timestamp

    package init(task: TaskID, attempt: Int, token: ClaimToken, worker: String, startedAt: Timestamp) {
        self.task = task
        self.attempt = attempt
        self.token = token
        self.worker = worker
        self.startedAt = startedAt
    }
}

/// How an attempt ended.
package struct TaskResult: Hashable, Sendable, Codable {
    package enum Outcome: String, Hashable, Sendable, Codable {
        case succeeded
        /// The stage did its work, and a gate in it says no. The output holds the decision.
        case rejected
        case failed
        case cancelled
        /// Given back unfinished, because its worker stops: tried again at once, and no failure.
        case released
    }

    package var task: TaskID
    package var attempt: Int
    package var token: ClaimToken
    package var worker: String
    package var outcome: Outcome
    package var output: StageOutput?
    package var failure: Failure?
    package var startedAt: Timestamp
    package var finishedAt: Timestamp
    /// The key of the attempt's log in the object store.
    package var log: String?

    package init(
        task: TaskID, attempt: Int, token: ClaimToken, worker: String, outcome: Outcome, output: StageOutput? = nil,
        failure: Failure? = nil, startedAt: Timestamp, finishedAt: Timestamp, log: String? = nil
    ) {
        self.task = task
        self.attempt = attempt
        self.token = token
        self.worker = worker
        self.outcome = outcome
        self.output = output
        self.failure = failure
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.log = log
    }
}
