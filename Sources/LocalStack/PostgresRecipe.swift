import ChildProcess
import Glibc

/// PostgreSQL: one cluster with the ledger's database and MLflow's.
struct PostgresRecipe: ServerRecipe {
    let name = ServerName.postgres
    let startLimit = Duration.seconds(90)

    static let databases = ["martlet", "mlflow"]

    func prepare(_ site: StackSite) async throws -> ServerPlan {
        let tools = try PostgresTools.find()
        try site.makeFolders(of: name)
        let account = try ServiceAccount.forPostgres()
        let data = try account.makePrivateFolder("\(site.folder(of: name))/data")
        let password = try site.secrets.secret("postgresql")
        if !FileSystem.exists("\(data)/PG_VERSION") {
            try await initialise(data, tools: tools, account: account, password: password)
        }
        try FileSystem.write(
            "127.0.0.1:*:*:\(StackSite.user):\(password)\n", to: Self.passwordFile(site))
        try account.writeFile(configuration(site), to: "\(data)/postgresql.auto.conf")
        try await PostgresProcesses.waitUntilGone(cluster: data)
        var environment = ProcessEnvironment.minimal()
        environment["LC_ALL"] = "C.UTF-8"
        let command = try account.command(tools.path("postgres"), ["-D", data])
        return ServerPlan(
            executable: command.executable, arguments: command.arguments, environment: environment,
            workingDirectory: data)
    }

    func probe(_ site: StackSite) throws {
        try Self.probe(site.ports["postgresql"])
    }

    func afterReady(_ site: StackSite) async throws {
        for database in Self.databases {
            try await Self.createDatabase(database, site: site)
        }
    }

    /// Creates a database that may exist already.
    /// - Parameter database: a name of lower-case letters, digits and underscores.
    static func createDatabase(_ database: String, site: StackSite) async throws {
        try await run(
            """
            SELECT 'CREATE DATABASE \(database) TEMPLATE template0 ENCODING ''UTF8'''
            WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = '\(database)')
            \\gexec

            """, site: site)
    }

    /// Runs statements with psql in the maintenance database.
    static func run(_ statements: String, site: StackSite) async throws {
        var environment = ProcessEnvironment.minimal()
        environment["PGPASSFILE"] = passwordFile(site)
        environment["PGCONNECT_TIMEOUT"] = "10"
        _ = try await HelperProgram.run(
            try PostgresTools.find().path("psql"),
            [
                "--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1", "--host=127.0.0.1",
                "--port=\(site.ports["postgresql"])", "--username=\(StackSite.user)", "--dbname=postgres", "--file=-",
            ], environment: environment, input: statements, server: .postgres)
    }

    /// Where psql and MLflow find the password.
    static func passwordFile(_ site: StackSite) -> String {
        site.secrets.path("pgpass")
    }

    private func initialise(
        _ data: String, tools: PostgresTools, account: ServiceAccount, password: String
    ) async throws {
        // Beside its place, and moved there when it is whole: initdb writes PG_VERSION first, so that an
        // interrupted one looks like a cluster.
        let draft = "\(data).new"
        try FileSystem.removeFolder(draft)
        _ = try account.claim(draft)
        let secret = "\(data).password"
        try account.writeFile(password + "\n", to: secret)
        defer { unlink(secret) }
        let command = try account.command(
            tools.path("initdb"),
            [
                "--pgdata=\(draft)", "--username=\(StackSite.user)", "--pwfile=\(secret)", "--auth=scram-sha-256",
                "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
            ])
        _ = try await HelperProgram.run(
            command.executable, command.arguments, workingDirectory: draft, server: name)
        guard FileSystem.exists("\(draft)/PG_VERSION") else {
            throw StackError(.preparationFailed, server: name, "initdb left no cluster in '\(draft)'")
        }
        try FileSystem.removeFolder(data)
        guard rename(draft, data) == 0 else { throw FileSystem.failure("put the new cluster at", data) }
    }

    private func configuration(_ site: StackSite) -> String {
        let isDurable = site.options.durability == .durable
        return """
            listen_addresses = '127.0.0.1'
            port = \(site.ports["postgresql"])
            # A socket's path may hold 107 bytes, which a deep folder exceeds; nobody needs it.
            unix_socket_directories = ''
            max_connections = 200
            shared_buffers = '\(isDurable ? "128MB" : "32MB")'
            wal_level = replica
            max_wal_size = '512MB'
            fsync = \(isDurable ? "on" : "off")
            synchronous_commit = \(isDurable ? "on" : "off")
            full_page_writes = \(isDurable ? "on" : "off")
            logging_collector = off
            log_line_prefix = '%m [%p] %u@%d '
            timezone = 'UTC'
            jit = off

            """
    }

    /// What `pg_isready` does: a server that accepts sessions answers a startup message with a request
    /// for authentication, one that is starting up or shutting down with an error.
    private static func probe(_ port: UInt16) throws(SocketProbe.Failure) {
        let body = [UInt8]([0, 3, 0, 0]) + Array("user\0\(StackSite.user)\0database\0postgres\0\0".utf8)
        let length = UInt32(body.count + 4).bigEndian
        let message = withUnsafeBytes(of: length) { Array($0) } + body
        let answer = try SocketProbe.exchange(port: port, request: message) { !$0.isEmpty }
        guard answer.first == UInt8(ascii: "R") else {
            throw SocketProbe.Failure("PostgreSQL does not accept sessions yet")
        }
    }
}
