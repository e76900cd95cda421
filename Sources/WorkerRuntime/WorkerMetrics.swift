import Coordination
import Metrics
import Pipeline

/// What a worker counts.
struct WorkerMetrics: Sendable {
    let pool: String

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
        Counter(label: "martlet_worker_claims_total", dimensions: [("pool", pool), ("outcome", word)]).increment()
        guard outcome == .claimed, let sentAt else { return }
        // Clocks of two machines may differ a little the wrong way.
        Timer(label: "martlet_worker_queue_wait_seconds", dimensions: [("pool", pool)])
            .recordSeconds(max(0, Timestamp.now.seconds - sentAt.seconds))
    }

    func ended(kind: String, outcome: TaskResult.Outcome, seconds: Double) {
        Counter(
            label: "martlet_worker_attempts_total",
            dimensions: [("pool", pool), ("kind", kind), ("outcome", outcome.rawValue)]
        ).increment()
        Timer(label: "martlet_worker_attempt_seconds", dimensions: [("pool", pool), ("kind", kind)])
            .recordSeconds(seconds)
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
