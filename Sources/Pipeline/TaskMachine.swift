/// What becomes of a task when an attempt of it ends: a pure function from the counts so far and the end of the
/// attempt to what the ledger must write.
package struct TaskMachine: Sendable {
    /// Leases of one task that may be lost, in all, before the task itself is held to be what kills its workers.
    package static let maximumLost = 8

    /// What the ledger has counted before the attempt ended.
    package struct Counts: Hashable, Sendable {
        /// Failures that count against ``RetryPolicy/maximumAttempts``.
        package var failures: Int
        /// Leases lost.
        package var lost: Int
        /// The task already runs with smaller settings because the machine was too small.
        package var isResourceRetry: Bool

        package init(failures: Int = 0, lost: Int = 0, isResourceRetry: Bool = false) {
            self.failures = failures
            self.lost = lost
            self.isResourceRetry = isResourceRetry
        }
    }

    /// How an attempt ended.
    package enum Event: Hashable, Sendable {
        /// Its worker said so.
        case result(TaskResult.Outcome, Failure?)
        /// Nobody has renewed the lease.
        case leaseLost
    }

    package struct Retry: Hashable, Sendable {
        package var delay: Duration
        /// To be written with the task; ``Counts/isResourceRetry`` goes to ``TaskPayload/resourceRetry`` as well.
        package var counts: Counts
        /// Why; nil for an attempt that was given back unfinished.
        package var failure: Failure?

        package init(delay: Duration, counts: Counts, failure: Failure? = nil) {
            self.delay = delay
            self.counts = counts
            self.failure = failure
        }
    }

    package enum Decision: Hashable, Sendable {
        case succeeded(isRejected: Bool)
        /// A new attempt, once the delay is over.
        case retry(Retry)
        case dead(Failure, Counts)
        case cancelled
    }

    private let policy: RetryPolicy

    package init(policy: RetryPolicy) {
        self.policy = policy
    }

    /// - Parameter fraction: a random number in `0..<1`, for the jitter.
    package func decision(for event: Event, counts: Counts, fraction: Double) -> Decision {
        switch event {
        case .leaseLost: return afterLoss(nil, counts, fraction)
        case .result(.succeeded, _): return .succeeded(isRejected: false)
        case .result(.rejected, _): return .succeeded(isRejected: true)
        case .result(.cancelled, _): return .cancelled
        case .result(.released, _): return .retry(Retry(delay: .zero, counts: counts))
        case .result(.failed, let failure): return afterFailure(failure ?? Self.unexplained, counts, fraction)
        }
    }

    private func afterFailure(_ failure: Failure, _ counts: Counts, _ fraction: Double) -> Decision {
        var counts = counts
        switch failure.class {
        case .cancelled: return .cancelled
        case .lost: return afterLoss(failure, counts, fraction)
        case .permanent, .poison:
            counts.failures += 1
            return .dead(failure, counts)
        case .resource:
            // Outside the attempts that the policy grants: the very same attempt would fail again, a smaller one
            // has never been tried.
            if counts.isResourceRetry {
                counts.failures += 1
                return .dead(failure, counts)
            }
            counts.isResourceRetry = true
            let delay = policy.delay(afterFailures: 1, fraction: fraction)
            return .retry(Retry(delay: delay, counts: counts, failure: failure))
        case .retryable, .timeout:
            counts.failures += 1
            guard counts.failures < policy.maximumAttempts else { return .dead(failure, counts) }
            let delay = policy.delay(afterFailures: counts.failures, fraction: fraction)
            return .retry(Retry(delay: delay, counts: counts, failure: failure))
        }
    }

    private func afterLoss(_ failure: Failure?, _ counts: Counts, _ fraction: Double) -> Decision {
        var counts = counts
        counts.lost += 1
        guard counts.lost < Self.maximumLost else {
            let message =
                "the workers of \(counts.lost) attempts vanished: look at the logs of the attempts and at the memory "
                + "of the workers, then retry the run"
            return .dead(Failure(class: .poison, code: "task.workers_vanish", message: message), counts)
        }
        // One lost worker is the machine's fault, and the lease has already cost time; several may be the task's.
        let delay = counts.lost == 1 ? .zero : policy.delay(afterFailures: counts.lost - 1, fraction: fraction)
        let cause =
            failure ?? Failure(class: .lost, code: "task.lease_lost", message: "the worker vanished with its lease")
        return .retry(Retry(delay: delay, counts: counts, failure: cause))
    }

    private static let unexplained = Failure(
        class: .retryable, code: "task.unexplained", message: "the worker reported a failure without saying why")
}
