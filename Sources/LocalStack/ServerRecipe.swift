/// How one kind of server is prepared and run.
protocol ServerRecipe: Sendable {
    var name: ServerName { get }
    /// How long it may take to become ready on a machine as slow as is reasonable.
    var startLimit: Duration { get }

    /// Makes the data folder and configuration and says how to start the server.
    /// - Throws: `missingExecutable`, naming what to install; `dataFolder`; `preparationFailed`.
    func prepare(_ site: StackSite) async throws -> ServerPlan

    /// Throws with the reason while the server is not ready. Blocking, a few seconds at most: see
    /// `SocketProbe.offPool`.
    func probe(_ site: StackSite) throws

    /// What must be done once it is ready, every time: databases and the like.
    func afterReady(_ site: StackSite) async throws
}

extension ServerRecipe {
    func afterReady(_ site: StackSite) async throws {}
}

extension ServerName {
    var recipe: any ServerRecipe {
        switch self {
        case .epmd: EpmdRecipe()
        case .rabbitMQ: RabbitMQRecipe()
        case .redis: RedisRecipe()
        case .postgres: PostgresRecipe()
        case .s3: SeaweedFSRecipe()
        case .mlflow: MLflowRecipe()
        }
    }
}
