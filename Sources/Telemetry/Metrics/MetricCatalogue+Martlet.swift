extension MetricCatalogue {
    /// Every metric of Martlet's own processes, each with the labels that it is recorded with.
    package static let martlet = MetricCatalogue(scheduler + worker + gateway + own)

    private static let scheduler: [MetricDefinition] = [
        .counter(
            "martlet_scheduler_events_total", "New-data events taken from the queue.", labels: ["outcome"]),
        .counter("martlet_scheduler_dispatched_total", "Tasks published to a pool's queue.", labels: ["pool"]),
        .counter("martlet_scheduler_results_total", "Results taken from the workers.", labels: ["outcome"]),
        .counter("martlet_scheduler_runs_total", "Runs that reached their end.", labels: ["state"]),
        .counter(
            "martlet_scheduler_attempt_failures_total", "Attempts that failed or were lost.", labels: ["class"]),
        .counter("martlet_scheduler_sent_again_total", "Tasks that the reconciler sent again."),
        .counter(
            "martlet_scheduler_dead_letters_total", "Messages put aside because they cannot be used.",
            labels: ["queue"]),
        .counter("martlet_scheduler_errors_total", "Steps that failed and are tried again.", labels: ["step"]),
        .gauge("martlet_scheduler_ready_tasks", "Due tasks that wait in the ledger.", labels: ["pool"]),
        .gauge("martlet_scheduler_inflight_tasks", "Tasks dispatched and not yet finished.", labels: ["pool"]),
        .gauge("martlet_pool_slots", "Tasks that the workers of a pool may run at the same time.", labels: ["pool"]),
    ]

    private static let worker: [MetricDefinition] = [
        .counter("martlet_worker_claims_total", "Tasks a worker tried to claim.", labels: ["pool", "outcome"]),
        .counter(
            "martlet_worker_attempts_total", "Attempts a worker finished.", labels: ["pool", "kind", "outcome"]),
        .counter("martlet_worker_leases_lost_total", "Leases lost before the attempt ended.", labels: ["pool"]),
        .counter("martlet_worker_undecodable_total", "Deliveries that were no task.", labels: ["pool"]),
        .counter("martlet_worker_cache_hits_total", "Stages answered from the output cache.", labels: ["pool"]),
        .counter(
            "martlet_notifications_total", "Attempts to tell a receiver how a run ended.",
            labels: ["channel", "outcome"]),
        .gauge("martlet_worker_slots", "Tasks a worker may run at the same time.", labels: ["pool"]),
        .gauge("martlet_worker_busy_slots", "Tasks a worker runs now.", labels: ["pool"]),
        .histogram(
            "martlet_worker_attempt_seconds", "How long attempts take.", labels: ["pool", "kind"],
            buckets: MetricDefinition.durationBuckets),
        .histogram(
            "martlet_worker_queue_wait_seconds", "From a task's dispatch to its claim.", labels: ["pool"]),
    ]

    private static let version = ["model", "version"]
    private static let served = version + ["endpoint"]

    private static let gateway: [MetricDefinition] = [
        .counter(
            "martlet_gateway_requests_total", "Requests that were passed on and have ended.",
            labels: served + ["outcome"]),
        .counter(
            "martlet_gateway_refused_requests_total", "Requests that were answered with an error here.",
            labels: ["reason"]),
        .histogram(
            "martlet_gateway_request_duration_seconds", "From a request's arrival to its end.", labels: served,
            buckets: MetricDefinition.answerBuckets),
        .histogram(
            "martlet_gateway_first_byte_seconds", "From sending a request on to the first byte of its answer.",
            labels: served, buckets: MetricDefinition.answerBuckets),
        .histogram(
            "martlet_gateway_queue_seconds", "From a request's arrival to its place at a replica.", labels: served,
            buckets: MetricDefinition.answerBuckets),
        .counter(
            "martlet_gateway_tokens_total", "Tokens of prompts and answers, as counted by the model servers.",
            labels: version + ["kind"]),
        .gauge("martlet_gateway_inflight_requests", "Requests that have their place at a replica.", labels: version),
        .gauge("martlet_gateway_waiting_requests", "Requests that wait for a place, batches aside.", labels: version),
        .gauge("martlet_gateway_places", "Requests that the replicas are sent at the same time.", labels: version),
        .gauge(
            "martlet_gateway_batch_waiting_requests", "Requests of batches that wait for what is left over.",
            labels: version),
        .gauge(
            "martlet_gateway_batch_share",
            "Requests of batches at the same time beside others, on average: as many as these do not notice.",
            labels: version),
        .gauge("martlet_gateway_connections", "Connections of clients."),
        .counter("martlet_gateway_hedged_answers_total", "Answers that came from the second replica that was asked."),
        .counter(
            "martlet_gateway_preempted_requests_total", "Requests of batches that made room for others and wait again."),
        .counter("martlet_gateway_joined_requests_total", "Requests whose prompts went out in one call."),
        .counter("martlet_gateway_shared_answers_total", "Requests answered by the call of an equal one."),
        .counter("martlet_gateway_cached_answers_total", "Requests answered from the cache."),
        .counter(
            "martlet_gateway_usage_lost_total", "Requests whose use is not counted, as the journal had no room."),
    ]

    /// The registry's own.
    static let own: [MetricDefinition] = [
        .counter(
            MetricRegistry.droppedName,
            "Series refused for their number, type or labels, by metric; their values are lost or pooled.",
            labels: ["metric"])
    ]
}
