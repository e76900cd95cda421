import Coordination
import Logging

/// Keeps the routes as the model servers register themselves, beside those that are written down.
struct ReplicaFollower: Sendable {
    let core: GatewayCore
    /// Written down in the configuration.
    let fixed: [ReplicaConfiguration]
    /// Sent to those that register themselves, if they want one.
    let credential: String?
    let coordinator: Coordinator
    let log: Logger

    private static let interval = Duration.seconds(1)
    /// A replica that vanishes without saying that it drains stays for so long: Redis may have lost what it knew, and
    /// whether the replica answers is for the prober to say.
    private static let patience = Duration.seconds(30)

    /// Until it is cancelled.
    func run() async {
        // One reading at a time, and one more for whatever came meanwhile.
        let (requests, sink) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await follow(sink) }
            group.addTask {
                while !Task.isCancelled {
                    sink.yield()
                    try? await Task.sleep(for: Self.interval)
                }
            }
            group.addTask {
                var known: [String: (record: ReplicaRecord, seen: ContinuousClock.Instant)] = [:]
                for await _ in requests { await load(&known) }
            }
        }
    }

    private func follow(_ sink: AsyncStream<Void>.Continuation) async {
        while !Task.isCancelled {
            do {
                for try await _ in coordinator.replicaChanges() { sink.yield() }
            } catch {
                log.debug("cannot listen for changes of model servers", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    /// While Redis is away, those that are known go on.
    private func load(_ known: inout [String: (record: ReplicaRecord, seen: ContinuousClock.Instant)]) async {
        let records: [ReplicaRecord]
        do {
            records = try await coordinator.replicas()
        } catch {
            guard !Task.isCancelled else { return }
            log.debug("cannot read the model servers; those that are known go on", metadata: ["error": "\(error)"])
            return
        }
        let now = ContinuousClock.now
        for record in records { known[record.id] = (record, now) }
        known = known.filter { now - $0.value.seen < Self.patience }
        let ready = known.values.map(\.record).filter { $0.state == .ready }.sorted { $0.id < $1.id }
        core.route(
            fixed
                + ready.map { record in
                    var replica = ReplicaConfiguration(
                        model: record.model, version: record.version, aliases: record.aliases, host: record.host,
                        port: record.port, servedName: record.servedName, maximumInFlight: record.maximumInFlight,
                        credential: credential)
                    replica.since = record.since
                    return replica
                })
    }
}
