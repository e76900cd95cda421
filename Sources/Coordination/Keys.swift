import Pipeline

/// The names of everything in Redis; one place, so that nobody guesses.
package struct Keys: Sendable {
    private let prefix: String

    /// - Parameter namespace: comes before every key, so that several fleets can share a server.
    package init(namespace: String = "martlet") {
        prefix = namespace + ":"
    }

    var pattern: String { prefix + "*" }
    var taskPrefix: String { prefix + "task:" }
    var leasePrefix: String { prefix + "lease:" }
    func task(_ id: TaskID) -> String { taskPrefix + id.description }
    func lease(_ id: TaskID) -> String { leasePrefix + id.description }
    func progress(_ id: TaskID) -> String { prefix + "progress:" + id.description }
    func cancelled(_ run: RunID) -> String { prefix + "cancelled:" + run.description }
    func held(by worker: String) -> String { prefix + "held:" + worker }
    func worker(_ id: String) -> String { prefix + "worker:" + id }
    var workers: String { prefix + "workers" }
    var pools: String { prefix + "pools" }
    func log(_ id: TaskID, attempt: Int) -> String { prefix + "log:" + id.description + "/" + String(attempt) }
    func limits(_ key: Int, minute: Int) -> String { prefix + "limits:" + String(key) + ":" + String(minute) }
    /// Hash: when gateways worked for model servers last.
    var busy: String { prefix + "busy" }
    func running(_ key: Int) -> String { prefix + "limits:" + String(key) + ":running" }

    /// Channel: something about a run changed.
    func live(_ run: RunID) -> String { prefix + "live:" + run.description }
    /// Channel: the wanted size of a pool changed.
    var poolChanges: String { prefix + "pool-changes" }
    func replica(_ id: String) -> String { prefix + "replica:" + id }
    var replicas: String { prefix + "replicas" }
    /// Channel: a model server came, drains or changed.
    var replicaChanges: String { prefix + "replica-changes" }
    /// Channel: leases were dropped; the reconciler need not wait for its next round.
    var wake: String { prefix + "wake" }
}
