extension MetricCatalogue {
    /// Every metric of Martlet's own processes.
    package static let martlet = MetricCatalogue(scheduler + worker + clients + own)

    private static let scheduler: [MetricDefinition] = [
        .counter(
            "martlet_scheduler_events_total", "New-data events taken from the queue.", labels: ["outcome"]),
        .counter("martlet_scheduler_dispatched_total", "Tasks published to a pool's queue.", labels: ["pool"]),
        .counter(
            "martlet_scheduler_results_total", "Results taken from the workers.", labels: ["pool", "outcome"]),
        .counter(
            "martlet_scheduler_runs_total", "Runs that reached their end.", labels: ["pipeline", "outcome"]),
        .counter(
            "martlet_scheduler_resent_total", "Tasks that the reconciler sent again.", labels: ["pool", "reason"]),
        .counter("martlet_scheduler_dead_letters_total", "Messages put aside as undecodable.", labels: ["queue"]),
        .gauge("martlet_scheduler_ready_tasks", "Tasks that wait in the ledger to be dispatched.", labels: ["pool"]),
        .gauge("martlet_scheduler_inflight_tasks", "Tasks dispatched and not yet finished.", labels: ["pool"]),
        .histogram(
            "martlet_scheduler_cycle_duration_seconds", "Time that one turn of a scheduler loop takes.",
            labels: ["loop"]),
        .histogram(
            "martlet_scheduler_batch_size", "Messages handled in one transaction.", labels: ["loop"],
            buckets: MetricDefinition.countBuckets),
        .histogram(
            "martlet_scheduler_handoff_duration_seconds", "From the end of a stage to the dispatch of the next.",
            labels: ["pool"]),
    ]

    private static let worker: [MetricDefinition] = [
        .counter("martlet_worker_claims_total", "Tasks a worker tried to claim.", labels: ["pool", "outcome"]),
        .counter(
            "martlet_worker_attempts_total", "Attempts a worker finished.", labels: ["pool", "kind", "outcome"]),
        .counter("martlet_worker_leases_lost_total", "Leases lost before the attempt ended.", labels: ["pool"]),
        .counter("martlet_worker_undecodable_total", "Deliveries that were no task.", labels: ["pool"]),
        .counter("martlet_worker_cache_hits_total", "Stages answered from the output cache.", labels: ["pool"]),
        .gauge("martlet_worker_slots", "Tasks a worker may run at the same time.", labels: ["pool"]),
        .gauge("martlet_worker_busy_slots", "Tasks a worker runs now.", labels: ["pool"]),
        .histogram(
            "martlet_worker_attempt_seconds", "How long attempts take.", labels: ["pool", "kind"],
            buckets: MetricDefinition.durationBuckets),
        .histogram(
            "martlet_worker_queue_wait_seconds", "From a task's dispatch to its claim.", labels: ["pool"]),
    ]

    private static let clients: [MetricDefinition] = [
        .counter("martlet_reconnects_total", "Connections that had to be made again.", labels: ["server"]),
        .counter("martlet_artifact_bytes_total", "Bytes moved to and from the object store.", labels: ["direction"]),
        .counter("martlet_notifications_total", "Notifications sent.", labels: ["channel", "outcome"]),
    ]

    /// The registry's own.
    static let own: [MetricDefinition] = [
        .counter(
            MetricRegistry.droppedName,
            "Series refused for their number, type or labels, by metric; their values are lost or pooled.",
            labels: ["metric"])
    ]
}
