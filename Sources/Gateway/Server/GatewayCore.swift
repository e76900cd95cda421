import Logging
import Synchronization

/// What all event loops of a gateway share.
final class GatewayCore: Sendable {
    let configuration: GatewayConfiguration
    let admission: Admission
    let keys = KeyTable()
    let batchPass = BatchPass()
    let coalescing: Coalescing
    let answers: AnswerCache
    /// Copies requests; set once there is something to send with.
    let mirror = Mutex<Mirror?>(nil)
    /// Answers what needs no model server; set once it is there.
    let service = Mutex<(any GatewayService)?>(nil)
    let rollouts = RolloutTable()
    /// Where it is written down what requests take; nil where nobody asks for it.
    let journal: UsageJournal?
    let prices: PriceTable
    let metrics: GatewayMetrics
    let log: Logger

    private struct Routing {
        var table = ModelTable()
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
        coalescing = Coalescing(mode: configuration.coalescing)
        answers = AnswerCache(capacity: configuration.limits.answerCache)
    }

    /// Sets who answers for which model.
    func route(_ replicas: [ReplicaConfiguration]) {
        routing.withLock { routing in
            let table = ModelTable(replicas, known: routing.table)
            var kept: [ReplicaConfiguration: Replica] = [:]
            for configuration in replicas {
                let identity = configuration.identity
                if let known = routing.replicas[identity] {
                    kept[identity] = known
                } else {
                    kept[identity] = Replica(configuration, id: routing.nextReplica)
                    routing.nextReplica += 1
                }
            }
            routing.replicas = kept
            // Before the names are known: whoever finds a version finds its places.
            admission.configure(
                table.deployments.map { deployment in
                    replicas.compactMap { configuration in
                        configuration.model == deployment.model && configuration.version == deployment.version
                            ? kept[configuration.identity] : nil
                    }
                })
            routing.table = table
        }
    }

    /// The replicas that are asked.
    var replicas: [Replica] { routing.withLock { Array($0.replicas.values) } }

    /// The version that a request gets, its part in a rollout, and the version that answers where this one fails.
    typealias Resolution = (
        deployment: ModelTable.Deployment, arm: RolloutTable.Arm?, fallback: ModelTable.Deployment?
    )

    /// The version that a request gets, and its part in a rollout.
    /// - Parameter stickiness: what keeps requests together that belong together.
    func resolve(
        _ name: String, stickiness: UInt64, joinsRollout: Bool = true
    ) -> Resolution? {
        let table = routing.withLock { $0.table }
        guard let deployment = table.deployment(named: name) else { return nil }
        // Who names a version or another alias gets it.
        guard joinsRollout, !rollouts.isEmpty, name == deployment.model || name == "\(deployment.model)@champion",
            let choice = rollouts.choose(model: deployment.model, stickiness: stickiness),
            let baseline = table.deployment(named: "\(deployment.model):\(choice.baseline)"),
            // Where another one has become the champion the old one is gone, and nothing is left to compare with.
            baseline.id == deployment.id || admission.isUsable(baseline.id)
        else { return (deployment, nil, nil) }
        guard choice.arm.isCandidate else { return (baseline, choice.arm, nil) }
        guard let candidate = table.deployment(named: "\(deployment.model):\(choice.candidate)"),
            admission.isUsable(candidate.id)
        else {
            // It is not there, or broken: the old one answers, and that is no word on either.
            return (baseline, nil, nil)
        }
        return (candidate, choice.arm, baseline)
    }

    /// The version that answers a copy, and its part in the rollout.
    func resolveMirror(_ name: String) -> Resolution? {
        let table = routing.withLock { $0.table }
        guard let model = table.deployment(named: name)?.model, let mirror = rollouts.mirror(model: model),
            let candidate = table.deployment(named: "\(model):\(mirror.candidate)")
        else { return nil }
        return (candidate, mirror.arm, nil)
    }

    /// All versions that are known, or were.
    var deployments: [ModelTable.Deployment] { routing.withLock { $0.table.deployments } }

    /// Whether a name may be a model's whose champion this gateway has not seen yet.
    func isAwaited(_ name: String) -> Bool {
        let known = deployments
        return known.isEmpty || known.contains { name == $0.model || name == "\($0.model)@champion" }
    }

    var modelNames: [String] { routing.withLock { $0.table.names.keys.sorted() } }
}
