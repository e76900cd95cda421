import Coordination
import Pipeline

/// Renews the lease of one attempt, carries its progress and its log, and says when to stop.
struct LeaseKeeper: Sendable {
    /// Why an attempt has to stop.
    enum Stop: Sendable, Hashable {
        case cancelled
        case leaseLost
    }

    let coordinator: Coordinator
    let configuration: WorkerConfiguration
    let task: TaskID
    let attempt: Int
    let token: ClaimToken
    /// The task runs whatever became of its run.
    let isUncancellable: Bool
    let reporter: ProgressReporter

    /// Renews the lease.
    func beat() async throws -> Coordinator.HeartbeatReply {
        let progress = reporter.take()
        do {
            let reply = try await coordinator.heartbeat(
                task, attempt: attempt, token: token, worker: configuration.id, lease: configuration.lease,
                progress: progress, isUncancellable: isUncancellable)
            if progress != nil { try await coordinator.announce([task.run]) }
            return reply
        } catch {
            // Sent with the next one, unless there is newer progress by then.
            if let progress { reporter.setIfEmpty(progress) }
            throw error
        }
    }
}
