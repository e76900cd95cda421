import Ledger
import Metrics
import Pipeline
import Synchronization

/// What a scheduler counts.
final class SchedulerMetrics: Sendable {
    /// Pools that gauges were set for: one that nothing is known of any more is set to zero, not left as it was.
    private let pools = Mutex<[String: Set<String>]>([:])

    func events(accepted: Int, duplicates: Int, refused: Int) {
        count("martlet_scheduler_events_total", [("outcome", "accepted")], accepted)
        count("martlet_scheduler_events_total", [("outcome", "duplicate")], duplicates)
        count("martlet_scheduler_events_total", [("outcome", "refused")], refused)
    }

    func deadLetter(queue: String) {
        count("martlet_scheduler_dead_letters_total", [("queue", queue)])
    }

    func results(accepted: Int, dropped: Int) {
        count("martlet_scheduler_results_total", [("outcome", "accepted")], accepted)
        count("martlet_scheduler_results_total", [("outcome", "dropped")], dropped)
    }

    func dispatched(pool: String, count: Int) {
        self.count("martlet_scheduler_dispatched_total", [("pool", pool)], count)
    }

    func sentAgain(_ count: Int) {
        self.count("martlet_scheduler_sent_again_total", [], count)
    }

    func attemptFailed(_ failureClass: Failure.Class) {
        count("martlet_scheduler_attempt_failures_total", [("class", failureClass.rawValue)])
    }

    func runsFinished(_ states: some Sequence<RunState>) {
        for (state, states) in Dictionary(grouping: states, by: \.self) {
            count("martlet_scheduler_runs_total", [("state", state.rawValue)], states.count)
        }
    }

    func capacity(_ slots: [String: Int]) {
        set("martlet_pool_slots", slots)
    }

    func backlog(_ work: [Ledger.PoolWork]) {
        set("martlet_scheduler_ready_tasks", Dictionary(uniqueKeysWithValues: work.map { ($0.pool, $0.ready) }))
        set("martlet_scheduler_inflight_tasks", Dictionary(uniqueKeysWithValues: work.map { ($0.pool, $0.inFlight) }))
    }

    func failed(_ what: String) {
        count("martlet_scheduler_errors_total", [("step", what)])
    }

    /// A count of zero makes the series: whoever reads it can tell that nothing happened from that nobody counts.
    private func count(_ name: String, _ labels: [(String, String)], _ amount: Int = 1) {
        Counter(label: name, dimensions: labels).increment(by: amount)
    }

    private func set(_ name: String, _ values: [String: Int]) {
        let gone = pools.withLock { pools in
            let known = pools[name, default: []]
            pools[name] = known.union(values.keys)
            return known.subtracting(values.keys)
        }
        for pool in gone { Gauge(label: name, dimensions: [("pool", pool)]).record(0) }
        for (pool, value) in values {
            Gauge(label: name, dimensions: [("pool", pool)]).record(value)
        }
    }
}
