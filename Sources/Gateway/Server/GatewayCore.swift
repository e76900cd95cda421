import Logging
import Synchronization

/// What all event loops of a gateway share.
final class GatewayCore: Sendable {
    let configuration: GatewayConfiguration
    let admission: Admission
    let keys = KeyTable()
    /// Where it is written down what requests take; nil where nobody asks for it.
    let journal: UsageJournal?
    let prices: PriceTable
    let metrics: GatewayMetrics
    let log: Logger

    private struct Routing {
        var table = ModelTable([])
        var replicas: [ReplicaConfiguration: Replica] = [:]
        var nextReplica = 0
    }

    private let routing = Mutex(Routing())

    init(configuration: GatewayConfiguration, prices: PriceTable, journal: UsageJournal?, logger: Logger) {
        self.journal = journal
        self.configuration = configuration
        self.prices = prices
        log = logger
        admission = Admission(limits: configuration.limits)
        metrics = GatewayMetrics()
    }

    /// Sets who answers for which model.
    func route(_ replicas: [ReplicaConfiguration]) {
        let deployments = routing.withLock { routing in
            routing.table = ModelTable(replicas, known: routing.table.deployments)
            var kept: [ReplicaConfiguration: Replica] = [:]
            for configuration in replicas {
                if let known = routing.replicas[configuration] {
                    kept[configuration] = known
                } else {
                    kept[configuration] = Replica(configuration, id: routing.nextReplica)
                    routing.nextReplica += 1
                }
            }
            routing.replicas = kept
            return routing.table.deployments.map { deployment in
                replicas.compactMap { configuration in
                    configuration.model == deployment.model && configuration.version == deployment.version
                        ? kept[configuration] : nil
                }
            }
        }
        admission.configure(deployments)
    }

    /// The replicas that are asked.
    var replicas: [Replica] { routing.withLock { Array($0.replicas.values) } }

    func deployment(named name: String) -> ModelTable.Deployment? {
        routing.withLock { $0.table.deployment(named: name) }
    }

    var modelNames: [String] { routing.withLock { $0.table.names.keys.sorted() } }
}
