import Metrics
import Synchronization

/// What a gateway counts. Labels come from the configuration, never from a client, so their number is bounded.
final class GatewayMetrics: Sendable {
    /// The metrics of one version and endpoint. An object: every request holds one.
    final class Series: Sendable {
        let requests: Counter
        let clientErrors: Counter
        let serverErrors: Counter
        let cancelled: Counter
        let duration: Timer
        let firstByte: Timer
        let queued: Timer
        let promptTokens: Counter
        let completionTokens: Counter

        init(_ deployment: ModelTable.Deployment, _ endpoint: Endpoint) {
            let labels = [("model", deployment.model), ("version", deployment.version), ("endpoint", endpoint.label)]
            func count(_ outcome: String) -> Counter {
                Counter(label: "martlet_gateway_requests_total", dimensions: labels + [("outcome", outcome)])
            }
            requests = count("ok")
            clientErrors = count("client_error")
            serverErrors = count("server_error")
            cancelled = count("cancelled")
            duration = Timer(label: "martlet_gateway_request_duration_seconds", dimensions: labels)
            firstByte = Timer(label: "martlet_gateway_first_byte_seconds", dimensions: labels)
            queued = Timer(label: "martlet_gateway_queue_seconds", dimensions: labels)
            let version = [("model", deployment.model), ("version", deployment.version)]
            promptTokens = Counter(label: "martlet_gateway_tokens_total", dimensions: version + [("kind", "prompt")])
            completionTokens = Counter(
                label: "martlet_gateway_tokens_total", dimensions: version + [("kind", "completion")])
        }
    }

    private struct Place: Hashable {
        let deployment: Int
        let endpoint: Endpoint
    }

    /// Answers that came from the second replica that was asked.
    let hedged = Counter(label: "martlet_gateway_hedged_answers_total")
    /// Requests of batches that made room for others, and wait again.
    let preempted = Counter(label: "martlet_gateway_preempted_requests_total")
    private let connections = Gauge(label: "martlet_gateway_connections")
    private let connectionCount = Mutex(0)
    private let series = Mutex<[Place: Series]>([:])
    private let refused = Mutex<[String: Counter]>([:])

    func series(_ deployment: ModelTable.Deployment, _ endpoint: Endpoint) -> Series {
        series.withLock { series in
            let place = Place(deployment: deployment.id, endpoint: endpoint)
            if let known = series[place] { return known }
            let made = Series(deployment, endpoint)
            series[place] = made
            return made
        }
    }

    /// A client has connected, or its connection has ended.
    func connected(_ change: Int) {
        connectionCount.withLock { count in
            count += change
            connections.record(count)
        }
    }

    /// What runs and waits of a version.
    func load(of deployment: ModelTable.Deployment, _ load: Admission.Load) {
        let labels = [("model", deployment.model), ("version", deployment.version)]
        Gauge(label: "martlet_gateway_inflight_requests", dimensions: labels).record(load.inFlight)
        Gauge(label: "martlet_gateway_waiting_requests", dimensions: labels).record(load.waiting)
        Gauge(label: "martlet_gateway_places", dimensions: labels).record(load.places)
        Gauge(label: "martlet_gateway_batch_waiting_requests", dimensions: labels).record(load.batchesWaiting)
        Gauge(label: "martlet_gateway_batch_share", dimensions: labels).record(load.batchShare)
    }

    /// Versions and endpoints that were asked for.
    var seriesCount: Int { series.withLock { $0.count } }

    /// Why requests were answered here.
    var refusalReasons: Set<String> { refused.withLock { Set($0.keys) } }

    /// Counts a request that was answered here, by the reason.
    func refuse(_ error: GatewayError) {
        let reason = error.code ?? error.type
        let counter = refused.withLock { counters in
            if let known = counters[reason] { return known }
            let made = Counter(label: "martlet_gateway_refused_requests_total", dimensions: [("reason", reason)])
            counters[reason] = made
            return made
        }
        counter.increment()
    }
}
