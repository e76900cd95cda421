package import LocalStack

/// The real servers that integration tests talk to.
///
/// Each is started once per test process, on demand, in a folder of its own below the temporary folder,
/// and is gone when the process is, however that ends. A missing program is an error that names what to
/// install: tests fail rather than skip. Tests share the servers, so every queue, key, schema and bucket
/// needs a unique name; a test that stops or breaks a server uses `fresh`.
///
///     let (url, _) = try await TestServers.shared.rabbitMQ()
package actor TestServers {
    /// The servers of this test process.
    package static let shared = TestServers()

    /// RabbitMQ, Redis, and the three that belong together start independently of each other.
    private enum Group: String, Hashable {
        case broker, redis, stores
    }

    private var stacks: [Group: LocalStack] = [:]
    private var starts: [ServerName: Task<StackEndpoints, any Error>] = [:]

    /// RabbitMQ with the management plugin.
    /// - Returns: the AMQP URL and the management API's URL, both with the user and password.
    package func rabbitMQ() async throws -> (url: String, managementURL: String) {
        let endpoints = try await endpoints(.rabbitMQ, in: .broker)
        return (endpoints.amqpURL, endpoints.amqpManagementURL)
    }

    /// Redis, with its password in the URL.
    package func redis() async throws -> String {
        try await endpoints(.redis, in: .redis).redisURL
    }

    /// A database that exists for this call only: empty, with the connecting role as its owner.
    /// - Returns: a URL for libpq.
    package func postgres() async throws -> String {
        _ = try await endpoints(.postgres, in: .stores)
        return try await stack(.stores).createDatabase("test_\(TestFolder.uniqueSuffix())")
    }

    /// S3 with a bucket named `martlet`; the identity may make others.
    package func s3() async throws -> (endpoint: String, accessKey: String, secretKey: String, region: String) {
        let endpoints = try await endpoints(.s3, in: .stores)
        return (endpoints.s3Endpoint, endpoints.s3AccessKey, endpoints.s3SecretKey, endpoints.s3Region)
    }

    /// MLflow on the shared PostgreSQL and S3; takes 10 to 30 seconds on first use.
    package func mlflow() async throws -> String {
        // First, each by itself: who needs no more does not wait for MLflow, which keeps the stack to itself as it starts.
        _ = try await endpoints(.postgres, in: .stores)
        _ = try await endpoints(.s3, in: .stores)
        return try await endpoints(.mlflow, in: .stores).mlflowURL
    }

    /// Servers of the caller's own, started, which it may stop, kill and start again.
    ///
    /// - Parameter servers: and those they need.
    /// - Returns: the stack; `stop()` it, or leave that to the end of the process.
    package static func fresh(_ servers: ServerName...) async throws -> LocalStack {
        let stack = try await TestFolder.shared.makeStack(named: "fresh-\(TestFolder.uniqueSuffix())")
        try await stack.start(Set(servers), progress: TestFolder.shared.progress(of: stack))
        return stack
    }

    private func endpoints(_ server: ServerName, in group: Group) async throws -> StackEndpoints {
        let stack = try await stack(group)
        let start =
            starts[server]
            ?? Task {
                try await stack.start([server], progress: TestFolder.shared.progress(of: stack))
            }
        // Kept when it fails too: every test that needs the server fails with the same reason, at once.
        starts[server] = start
        return try await start.value
    }

    private func stack(_ group: Group) async throws -> LocalStack {
        if let stack = stacks[group] { return stack }
        let stack = try await TestFolder.shared.makeStack(named: group.rawValue)
        // Another caller may have made it during the await.
        stacks[group] = stacks[group] ?? stack
        return stacks[group] ?? stack
    }
}
