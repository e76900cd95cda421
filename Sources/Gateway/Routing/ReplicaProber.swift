import HTTPTransport
import Logging
import Synchronization

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
        let failures = Failures()
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                // Each by itself: one that does not answer delays what is known of no other.
                for replica in failures.begin(core.replicas) {
                    group.addTask {
                        let (isUp, load) = await look(at: replica)
                        guard !Task.isCancelled else { return }
                        take(isUp, load, of: replica, failures)
                    }
                }
                for deployment in core.deployments {
                    core.metrics.load(of: deployment, core.admission.load(of: deployment.id))
                }
                try? await Task.sleep(for: Self.interval)
            }
            group.cancelAll()
        }
    }

    /// Looks that failed one after another, by replica, and which are looked at now.
    private final class Failures: Sendable {
        private struct State {
            var counts: [Int: Int] = [:]
            var looking: Set<Int> = []
        }

        private let state = Mutex(State())

        /// Those that are not looked at already.
        func begin(_ replicas: [Replica]) -> [Replica] {
            state.withLock { state in
                state.counts = state.counts.filter { count in replicas.contains { $0.id == count.key } }
                return replicas.filter { state.looking.insert($0.id).inserted }
            }
        }

        /// A look has ended.
        /// - Returns: how many failed before it, and with it.
        func end(_ replica: Replica, isUp: Bool) -> (before: Int, now: Int) {
            state.withLock { state in
                state.looking.remove(replica.id)
                let before = state.counts[replica.id] ?? 0
                let now = isUp ? 0 : before + 1
                state.counts[replica.id] = now
                return (before, now)
            }
        }
    }

    private func take(_ isUp: Bool, _ load: ConcurrencyLimit.Load?, of replica: Replica, _ failures: Failures) {
        let (before, now) = failures.end(replica, isUp: isUp)
        if now == Self.failureLimit || isUp && before >= Self.failureLimit {
            log.warning(
                isUp ? "a model server answers again" : "a model server does not answer; it is asked no more",
                metadata: ["model": "\(replica.label)", "address": "\(replica.address)"])
        }
        core.admission.probed(replica, isUp: now < Self.failureLimit, load: load)
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
