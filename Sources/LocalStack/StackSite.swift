import ChildProcess

/// One stack's place on this machine: its folder, ports, secrets and options, as the recipes see them.
struct StackSite: Sendable {
    /// The data folder, absolute and without symbolic links.
    let folder: String
    let options: StackOptions
    let secrets: SecretStore
    let ports: PortBook

    /// The user name and database owner everywhere.
    static let user = "martlet"
    static let region = "us-east-1"

    func folder(of server: ServerName) -> String {
        "\(folder)/\(server.rawValue)"
    }

    func logFolder(of server: ServerName) -> String {
        "\(folder(of: server))/log"
    }

    /// Where a server's standard output and error go.
    func logFile(of server: ServerName) -> String {
        "\(logFolder(of: server))/\(server.rawValue).log"
    }

    /// Makes a server's folder and its log folder.
    func makeFolders(of server: ServerName) throws(StackError) {
        try FileSystem.makeFolder(logFolder(of: server))
    }

    /// The path of a program, or an error that says which package has it.
    /// - Parameter extraFolders: searched after `PATH`.
    static func find(
        _ program: String, package: String, for server: ServerName, extraFolders: [String] = []
    ) throws(StackError) -> String {
        if let path = ExecutableLookup.find(program) { return path }
        if !extraFolders.isEmpty,
            let path = ExecutableLookup.find(program, path: extraFolders.joined(separator: ":"))
        {
            return path
        }
        let places = (["PATH"] + extraFolders).joined(separator: ", ")
        throw StackError(
            .missingExecutable, server: server,
            "no '\(program)' in \(places); install it: sudo apt-get install \(package)")
    }

    /// Where the servers answer.
    func endpoints() throws(StackError) -> StackEndpoints {
        let user = Self.user
        let amqp = try secrets.secret("rabbitmq")
        return StackEndpoints(
            amqpURL: "amqp://\(user):\(amqp)@127.0.0.1:\(ports["amqp"])/%2F",
            amqpManagementURL: "http://\(user):\(amqp)@127.0.0.1:\(ports["amqp-management"])",
            redisURL: "redis://:\(try secrets.secret("redis"))@127.0.0.1:\(ports["redis"])/0",
            postgresURL:
                "postgresql://\(user):\(try secrets.secret("postgresql"))@127.0.0.1:\(ports["postgresql"])/martlet",
            s3Endpoint: "http://127.0.0.1:\(ports["s3"])",
            s3AccessKey: try secrets.secret("s3-access-key", length: 20),
            s3SecretKey: try secrets.secret("s3-secret-key", length: 40),
            s3Region: Self.region, s3Bucket: options.buckets.first ?? "martlet",
            mlflowURL: "http://127.0.0.1:\(ports["mlflow"])")
    }
}
