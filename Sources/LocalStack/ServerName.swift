/// The servers of a local stack.
package enum ServerName: String, CaseIterable, Codable, Hashable, Sendable {
    /// Erlang's port mapper, which RabbitMQ needs; a process of its own so that it ends with the stack.
    case epmd
    case rabbitMQ = "rabbitmq"
    case redis
    case postgres = "postgresql"
    case s3 = "seaweedfs"
    case mlflow

    /// The name people know it by.
    package var title: String {
        switch self {
        case .epmd: "epmd"
        case .rabbitMQ: "RabbitMQ"
        case .redis: "Redis"
        case .postgres: "PostgreSQL"
        case .s3: "SeaweedFS (S3)"
        case .mlflow: "MLflow"
        }
    }

    /// The servers that must be ready before this one starts.
    package var dependencies: [ServerName] {
        switch self {
        case .rabbitMQ: [.epmd]
        case .mlflow: [.postgres, .s3]
        case .epmd, .redis, .postgres, .s3: []
        }
    }

    /// The servers that need this one.
    package var dependents: [ServerName] {
        Self.allCases.filter { $0.dependencies.contains(self) }
    }

    /// The names of the ports it listens on, as `ports.json` has them.
    var portNames: [String] {
        switch self {
        case .epmd: ["epmd"]
        case .rabbitMQ: ["amqp", "amqp-management", "amqp-metrics", "amqp-distribution", "amqp-tools"]
        case .redis: ["redis"]
        case .postgres: ["postgresql"]
        case .s3:
            [
                "s3", "s3-grpc", "weed-master", "weed-master-grpc", "weed-volume", "weed-volume-grpc", "weed-filer",
                "weed-filer-grpc", "weed-admin",
            ]
        case .mlflow: ["mlflow"]
        }
    }

    /// All servers that must be up for `servers` to be up, those included.
    static func closure(of servers: Set<ServerName>) -> Set<ServerName> {
        var result = servers
        for server in servers {
            result.formUnion(closure(of: Set(server.dependencies)))
        }
        return result
    }
}
