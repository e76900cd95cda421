import Coordination
import Metrics
import Pipeline

/// What a worker counts.
struct WorkerMetrics: Sendable {
    let pool: String

    func claimed(_ outcome: Coordinator.ClaimOutcome) {
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

    func busy(_ count: Int) {
        Gauge(label: "martlet_worker_busy_slots", dimensions: [("pool", pool)]).record(count)
    }
}
