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

    init() {}

    /// Adds the replicas of a configuration.
    /// - Parameter known: what was before: the numbers of its deployments stay, and whoever was the champion is it until
    ///   another one is. Its model servers may be starting again; nobody else answers in its name meanwhile.
    init(_ replicas: [ReplicaConfiguration], known: ModelTable = ModelTable()) {
        deployments = known.deployments
        // The youngest last: it takes the aliases.
        for replica in replicas.sorted(by: { $0.since < $1.since }) {
            let id = deployment(of: replica)
            names["\(replica.model):\(replica.version)"] = id
            for alias in replica.aliases { names["\(replica.model)@\(alias)"] = id }
        }
        for model in Set(deployments.map(\.model)) {
            let champion = "\(model)@champion"
            names[champion] = names[champion] ?? known.names[champion]
            // A bare name means the champion, or where there never was one, the first version that is not on trial.
            names[model] =
                names[champion]
                ?? replicas.first { $0.model == model && !$0.aliases.contains("challenger") }.map { deployment(of: $0) }
                ?? known.names[model]
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
        // A version that had a replica once is known, whether or not one is there now.
        names[name].map { deployments[$0] } ?? deployments.first { $0.label == name }
    }
}
