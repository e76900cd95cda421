import LocalStack
import TestServers

/// The servers of this target's tests: their own, because the tests restart and wipe them.
///
/// The tests run one after another. Each has a virtual host of the broker, a database of Redis and one of PostgreSQL
/// to itself; the bucket is shared, as every key in it has a run's id.
actor FleetServers {
    static let shared = FleetServers()

    struct Share: Sendable {
        var stack: LocalStack
        var management: ManagementAPI
        /// The broker's virtual host.
        var host: String
        /// As Martlet's configuration reads it.
        var environment: [String: String]
    }

    private var start: Task<LocalStack, any Error>?
    private var count = 0

    /// A share of the servers that nobody had before.
    func share() async throws -> Share {
        let start = start ?? Task { try await TestServers.fresh(.rabbitMQ, .redis, .postgres, .s3) }
        self.start = start
        let stack = try await start.value
        count += 1
        let number = count
        let endpoints = try await stack.endpoints()
        let host = "fleet-\(number)"
        let management = try ManagementAPI(url: endpoints.amqpManagementURL)
        try await management.makeHost(host)
        var environment = endpoints.environment
        environment["MARTLET_AMQP_URL"] = endpoints.amqpURL.replacing("/%2F", with: "/" + host)
        // Redis has 16 databases.
        environment["MARTLET_REDIS_URL"] = endpoints.redisURL.dropLast() + "\(number % 15 + 1)"
        environment["MARTLET_POSTGRES_URL"] = try await stack.createDatabase("fleet_\(number)")
        // Nothing here trains or registers.
        environment["MARTLET_MLFLOW_URL"] = nil
        return Share(stack: stack, management: management, host: host, environment: environment)
    }
}
