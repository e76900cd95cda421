import Coordination
import Logging
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
    let ticker: Ticker
    let logger: Logger

    /// Returns when the attempt has to stop; otherwise goes on until the surrounding task is cancelled.
    ///
    /// While Redis cannot be reached the attempt goes on: that nobody can look at a lease is no proof that it is
    /// lost, and the ledger takes one result only in any case.
    func run() async throws -> Stop {
        while true {
            let next = ContinuousClock.now + configuration.heartbeat
            repeat { try await ticker.tick() } while ContinuousClock.now < next
            do {
                switch try await beat() {
                case .ok: continue
                case .cancel: return .cancelled
                case .lost: return .leaseLost
                }
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                logger.warning("heartbeat failed; going on", metadata: ["error": "\(error)"])
            }
        }
    }

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
