import Coordination
import Metrics
import Pipeline
import Synchronization

/// What a worker counts. What every task is counted in is looked up once.
final class WorkerMetrics: Sendable {
    private struct Attempt: Hashable {
        var kind: String
        var outcome: TaskResult.Outcome
    }

    private let pool: String
    private let queueWait: Timer
    private let claims = Mutex<[String: Counter]>([:])
    private let attempts = Mutex<[Attempt: (count: Counter, seconds: Timer)]>([:])

    init(pool: String) {
        self.pool = pool
        queueWait = Timer(label: "martlet_worker_queue_wait_seconds", dimensions: [("pool", pool)])
    }

    /// - Parameter sentAt: when the message was sent; nil when it does not say.
    func claimed(_ outcome: Coordinator.ClaimOutcome, sentAt: Timestamp?) {
        let word =
            switch outcome {
            case .claimed: "claimed"
            case .stale: "stale"
            case .done: "done"
            case .held: "held"
            case .lost: "lost"
            case .cancelled: "cancelled"
            }
        claims.withLock { claims in
            if let known = claims[word] { return known }
            let counter = Counter(
                label: "martlet_worker_claims_total", dimensions: [("pool", pool), ("outcome", word)])
            claims[word] = counter
            return counter
        }.increment()
        guard outcome == .claimed, let sentAt else { return }
        // Clocks of two machines may differ a little the wrong way.
        queueWait.recordSeconds(max(0, Timestamp.now.seconds - sentAt.seconds))
    }

    /// - Parameter kind: one of the worker's own, or anything that a message says.
    func ended(kind: String, isKnown: Bool, outcome: TaskResult.Outcome, seconds: Double) {
        let attempt = Attempt(kind: kind, outcome: outcome)
        let series = attempts.withLock { attempts in
            if let known = attempts[attempt] { return known }
            let series = (
                count: Counter(
                    label: "martlet_worker_attempts_total",
                    dimensions: [("pool", pool), ("kind", kind), ("outcome", outcome.rawValue)]),
                seconds: Timer(
                    label: "martlet_worker_attempt_seconds", dimensions: [("pool", pool), ("kind", kind)])
            )
            if isKnown { attempts[attempt] = series }
            return series
        }
        series.count.increment()
        series.seconds.recordSeconds(seconds)
    }

    func leaseLost() {
        Counter(label: "martlet_worker_leases_lost_total", dimensions: [("pool", pool)]).increment()
    }

    func undecodable() {
        Counter(label: "martlet_worker_undecodable_total", dimensions: [("pool", pool)]).increment()
    }

    func cacheHit() {
        Counter(label: "martlet_worker_cache_hits_total", dimensions: [("pool", pool)]).increment()
    }

    func slots(_ count: Int, busy: Int) {
        Gauge(label: "martlet_worker_slots", dimensions: [("pool", pool)]).record(count)
        Gauge(label: "martlet_worker_busy_slots", dimensions: [("pool", pool)]).record(busy)
    }
}
