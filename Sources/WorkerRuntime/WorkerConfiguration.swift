/// How a worker works.
package struct WorkerConfiguration: Sendable {
    /// Names the worker across restarts; a new process of the same name takes over what the old one held.
    package var id: String
    package var pool: String
    /// Tasks at a time.
    package var slots: Int
    /// How long a claim lasts without a heartbeat.
    package var lease: Duration
    package var heartbeat: Duration
    /// How long running tasks may go on after SIGTERM.
    package var grace: Duration
    /// How often a growing log is stored, so that a killed worker's log is not lost with it.
    package var logInterval: Duration
    /// The folder for workspaces.
    package var workDirectory: String
    package var bucket: String
    package var host: String

    package init(
        id: String, pool: String, slots: Int = 1, lease: Duration = .seconds(30), heartbeat: Duration = .seconds(5),
        grace: Duration = .seconds(30), logInterval: Duration = .seconds(20), workDirectory: String, bucket: String,
        host: String
    ) {
        self.id = id
        self.pool = pool
        self.slots = slots
        self.lease = lease
        self.heartbeat = heartbeat
        self.grace = grace
        self.logInterval = logInterval
        self.workDirectory = workDirectory
        self.bucket = bucket
        self.host = host
    }
}
