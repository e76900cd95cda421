import Coordination
import Logging
import Synchronization

/// Keeps the routes as the model servers register themselves, beside those that are written down.
struct ReplicaFollower: Sendable {
    let core: GatewayCore
    /// Written down in the configuration.
    let fixed: [ReplicaConfiguration]
    /// Sent to those that register themselves, if they want one.
    let credential: String?
    let coordinator: Coordinator
    let log: Logger
    private let names: NameResolver

    init(
        core: GatewayCore, fixed: [ReplicaConfiguration], credential: String?, coordinator: Coordinator, log: Logger
    ) {
        self.core = core
        self.fixed = fixed
        self.credential = credential
        self.coordinator = coordinator
        self.log = log
        names = NameResolver(names: fixed.filter(\.isName).map(\.host), log: log)
    }

    private static let interval = Duration.seconds(1)
    /// A replica that vanishes without saying that it drains stays for so long: Redis may have lost what it knew, and
    /// whether the replica answers is for the prober to say.
    private static let patience = Duration.seconds(30)

    /// Until it is cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await names.run() }
            group.addTask { await follow() }
        }
    }

    private func follow() async {
        let known = Known()
        await Rereading.run(every: Self.interval) {
            coordinator.replicaChanges()
        } failed: { error in
            log.debug("cannot listen for changes of model servers", metadata: ["error": "\(error)"])
        } read: {
            await load(known)
        }
    }

    /// Who gave a sign of life, and when.
    private final class Known: Sendable {
        private let records = Mutex<[String: (record: ReplicaRecord, seen: ContinuousClock.Instant)]>([:])

        /// Takes what is there now; those that count, those included that have vanished a moment ago.
        func update(_ current: [ReplicaRecord], patience: Duration) -> [ReplicaRecord] {
            let now = ContinuousClock.now
            return records.withLock { records in
                for record in current { records[record.id] = (record, now) }
                records = records.filter { now - $0.value.seen < patience }
                return records.values.map(\.record)
            }
        }

        var all: [ReplicaRecord] { records.withLock { $0.values.map(\.record) } }
    }

    /// Those that are written down, with every address of a name.
    private var expanded: [ReplicaConfiguration] {
        fixed.flatMap { replica in
            guard replica.isName else { return [replica] }
            return names.addresses(of: replica.host).map { address in
                var own = replica
                own.host = address
                own.isName = false
                return own
            }
        }
    }

    /// While Redis is away, those that are known go on.
    private func load(_ known: Known) async {
        let records: [ReplicaRecord]
        do {
            records = known.update(try await coordinator.replicas(), patience: Self.patience)
        } catch {
            guard !Task.isCancelled else { return }
            log.debug("cannot read the model servers; those that are known go on", metadata: ["error": "\(error)"])
            records = known.all
        }
        let ready = records.filter { $0.state == .ready }.sorted { $0.id < $1.id }
        core.route(
            expanded
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
