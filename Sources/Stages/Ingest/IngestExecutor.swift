import Dispatch

/// A thread beside the pool that all tasks share: reading a file is one long computation, and as many at a time as the machine
/// has cores would hold up every heartbeat of the process.
final class IngestExecutor: TaskExecutor {
    private let queue = DispatchQueue(label: "martlet.ingest")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
