import HTTPTransport
import Logging

/// Looks at every replica once a second: whether it is up, and what it says of its load.
struct ReplicaProber: Sendable {
    let core: GatewayCore
    let transport: HTTPTransport
    let log: Logger

    private static let interval = Duration.seconds(1)
    private static let timeouts = HTTPTimeouts(
        connect: .seconds(1), firstByte: .seconds(3), idle: .seconds(3), total: .seconds(5))
    /// Looks that fail one after another before a replica counts as down.
    private static let failureLimit = 3
    private static let bodyLimit = 4 << 20

    /// Until it is cancelled.
    func run() async {
        var failures: [Int: Int] = [:]
        while !Task.isCancelled {
            let replicas = core.replicas
            failures = failures.filter { failure in replicas.contains { $0.id == failure.key } }
            let results = await withTaskGroup(of: (Replica, Bool, ConcurrencyLimit.Load?).self) { group in
                for replica in replicas {
                    group.addTask {
                        let (isUp, load) = await look(at: replica)
                        return (replica, isUp, load)
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            guard !Task.isCancelled else { return }
            for (replica, isUp, load) in results {
                let count = isUp ? 0 : (failures[replica.id] ?? 0) + 1
                if count == Self.failureLimit || isUp && failures[replica.id, default: 0] >= Self.failureLimit {
                    log.warning(
                        isUp ? "a model server answers again" : "a model server does not answer; it is asked no more",
                        metadata: ["model": "\(replica.label)", "address": "\(replica.address)"])
                }
                failures[replica.id] = count
                core.admission.probed(replica, isUp: count < Self.failureLimit, load: load)
            }
            for deployment in core.deployments {
                core.metrics.load(of: deployment, core.admission.load(of: deployment.id))
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func look(at replica: Replica) async -> (isUp: Bool, load: ConcurrencyLimit.Load?) {
        guard let metrics = await get("/metrics", replica) else { return (false, nil) }
        if metrics.status == 200, let load = ConcurrencyLimit.Load(prometheus: metrics.body) { return (true, load) }
        // Whatever it is, it is no vLLM; most servers have this path.
        guard let health = await get("/health", replica) else { return (false, nil) }
        return (health.status < 500, nil)
    }

    private func get(_ path: String, _ replica: Replica) async -> (status: Int, body: [UInt8])? {
        var headers: [HTTPHeader] = []
        if let credential = replica.configuration.credential {
            headers.append(HTTPHeader("Authorization", "Bearer \(credential)"))
        }
        do {
            let response = try await transport.send(
                HTTPRequest(
                    url: "http://\(replica.address)\(path)", headers: headers, timeouts: Self.timeouts, retry: .none,
                    proxy: .direct))
            return (response.status, try await response.body.collect(upTo: Self.bodyLimit))
        } catch {
            return nil
        }
    }
}

extension ConcurrencyLimit.Load {
    /// Reads vLLM's metrics in Prometheus's text format; the engines of one server are added up.
    /// - Returns: nil when they are not there.
    init?(prometheus bytes: [UInt8]) {
        var running = 0.0
        var waiting: Double?
        var cache: Double?
        var preemptions: Double?
        for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: "vllm:".utf8) {
            let name = line.prefix { $0 != UInt8(ascii: "{") && $0 != UInt8(ascii: " ") }
            // Of some six hundred lines: the others are no texts and no numbers here.
            var value: Double? {
                line.lastIndex(of: UInt8(ascii: " ")).flatMap {
                    Double(String(decoding: line[($0 + 1)...], as: UTF8.self))
                }
            }
            if name.elementsEqual("vllm:num_requests_waiting".utf8) {
                if let value { waiting = (waiting ?? 0) + value }
            } else if name.elementsEqual("vllm:num_requests_running".utf8) {
                running += value ?? 0
            } else if name.elementsEqual("vllm:kv_cache_usage_perc".utf8) {
                if let value { cache = max(cache ?? 0, value) }
            } else if name.elementsEqual("vllm:num_preemptions_total".utf8) {
                if let value { preemptions = (preemptions ?? 0) + value }
            }
        }
        guard let waiting, let cache else { return nil }
        self.init(running: running, waiting: waiting, cache: cache, preemptions: preemptions ?? 0)
    }
}
