import Metrics
import Pipeline

/// What a scheduler counts.
struct SchedulerMetrics: Sendable {
    func events(accepted: Int, duplicates: Int, refused: Int) {
        count("accepted", accepted)
        count("duplicate", duplicates)
        count("refused", refused)
    }

    private func count(_ outcome: String, _ value: Int) {
        guard value > 0 else { return }
        Counter(label: "martlet_scheduler_events_total", dimensions: [("outcome", outcome)]).increment(by: value)
    }

    func results(accepted: Int, dropped: Int) {
        if accepted > 0 {
            Counter(label: "martlet_scheduler_results_total", dimensions: [("outcome", "accepted")]).increment(
                by: accepted)
        }
        if dropped > 0 {
            Counter(label: "martlet_scheduler_results_total", dimensions: [("outcome", "dropped")]).increment(
                by: dropped)
        }
    }

    func dispatched(pool: String, count: Int) {
        guard count > 0 else { return }
        Counter(label: "martlet_scheduler_dispatched_total", dimensions: [("pool", pool)]).increment(by: count)
    }

    func sentAgain(_ count: Int) {
        Counter(label: "martlet_scheduler_sent_again_total").increment(by: count)
    }

    func attemptFailed(_ failureClass: Failure.Class) {
        Counter(label: "martlet_scheduler_attempt_failures_total", dimensions: [("class", failureClass.rawValue)])
            .increment()
    }

    func runFinished(_ state: RunState) {
        Counter(label: "martlet_scheduler_runs_total", dimensions: [("state", state.rawValue)]).increment()
    }

    func capacity(_ slots: [String: Int]) {
        for (pool, count) in slots {
            Gauge(label: "martlet_pool_slots", dimensions: [("pool", pool)]).record(count)
        }
    }

    func failed(_ what: String) {
        Counter(label: "martlet_scheduler_errors_total", dimensions: [("step", what)]).increment()
    }
}
