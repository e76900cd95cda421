/// The models that can be asked, and who answers for them.
struct ModelTable: Sendable {
    /// One version of a model.
    struct Deployment: Sendable {
        let id: Int
        let model: String
        let version: String
        /// Names of its own, as clients write them.
        var label: String { "\(model):\(version)" }
    }

    /// By the names that clients use: `model`, `model@alias`, `model:version`.
    private(set) var names: [String: Int] = [:]
    private(set) var deployments: [Deployment] = []

    /// Adds the replicas of a configuration.
    /// - Parameter known: deployments of before, whose numbers stay.
    init(_ replicas: [ReplicaConfiguration], known: [Deployment] = []) {
        deployments = known
        // The youngest last: it takes the aliases.
        for replica in replicas.sorted(by: { $0.since < $1.since }) {
            let id = deployment(of: replica)
            names["\(replica.model):\(replica.version)"] = id
            for alias in replica.aliases { names["\(replica.model)@\(alias)"] = id }
        }
        for replica in replicas {
            // A bare name means the champion, or the only version there is.
            let champion = names["\(replica.model)@champion"]
            names[replica.model] = champion ?? names[replica.model] ?? deployment(of: replica)
        }
    }

    private mutating func deployment(of replica: ReplicaConfiguration) -> Int {
        let found = deployments.first { $0.model == replica.model && $0.version == replica.version }
        if let found { return found.id }
        deployments.append(
            Deployment(id: deployments.count, model: replica.model, version: replica.version))
        return deployments.count - 1
    }

    func deployment(named name: String) -> Deployment? {
        names[name].map { deployments[$0] }
    }
}
