package import Logging
package import ObjectStorage
package import Pipeline

/// Everything that a handler is given for one attempt.
package struct StageContext: Sendable {
    package let payload: TaskPayload
    /// From 1.
    package let attempt: Int
    package let token: ClaimToken
    package let traceparent: String?
    package let storage: S3Client
    package let bucket: String
    /// The task's log: kept with the run and shown by `martlet run logs`.
    package let log: TaskLog
    package let logger: Logger
    /// Signalled when the worker wants to stop.
    package let drain: DrainSignal
    package let workspace: Workspace
    let reporter: ProgressReporter

    package var task: TaskID { payload.task }

    /// Where this claim's files go. A claim that lost its lease leaves files here that nobody refers to.
    package var outputPrefix: String { "runs/\(payload.run)/\(payload.stage)/\(token)/" }

    /// Where checkpoints of this task go, whichever attempt writes them.
    package var checkpointPrefix: String { "runs/\(payload.run)/\(payload.stage)/checkpoints/" }

    /// Says how far the attempt is; sent with the next heartbeat.
    /// - Parameter progress: such as `{"fraction": 0.4, "step": 12, "total": 30, "message": "…", "loss": 2.1}`.
    package func report(progress: JSONValue) {
        reporter.set(progress)
    }
}
