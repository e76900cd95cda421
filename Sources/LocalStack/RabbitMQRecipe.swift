import ChildProcess
import Glibc

/// RabbitMQ with the management and Prometheus plugins, as one node in its own folder.
struct RabbitMQRecipe: ServerRecipe {
    let name = ServerName.rabbitMQ
    let startLimit = Duration.seconds(120)

    func prepare(_ site: StackSite) async throws -> ServerPlan {
        let executable = try Self.findServer()
        _ = try StackSite.find("erl", package: "erlang-base", for: name)
        try site.makeFolders(of: name)
        let folder = site.folder(of: name)
        for sub in ["home", "mnesia", "schema"] {
            try FileSystem.makeFolder("\(folder)/\(sub)", mode: 0o700)
        }
        let password = try site.secrets.secret("rabbitmq")
        try FileSystem.write(configuration(site, password: password), to: "\(folder)/rabbitmq.conf")
        try FileSystem.write("[rabbitmq_management,rabbitmq_prometheus].\n", to: "\(folder)/enabled_plugins")
        return ServerPlan(
            executable: executable, arguments: [], environment: environment(site), workingDirectory: folder)
    }

    func probe(_ site: StackSite) throws {
        let ports = site.ports
        let password = try site.secrets.secret("rabbitmq")
        let greeting = try SocketProbe.exchange(
            port: ports["amqp"], request: Array("AMQP".utf8) + [0, 0, 9, 1]
        ) { $0.count >= 12 }
        // Connection.Start: a method frame (1) on channel 0, class 10, method 10.
        guard greeting.count >= 11, greeting[0] == 1, greeting[7...10].elementsEqual([0, 10, 0, 10]) else {
            throw SocketProbe.Failure("port \(ports["amqp"]) does not answer as AMQP 0-9-1")
        }
        let status = try SocketProbe.httpStatus(
            port: ports["amqp-management"], path: "/api/health/checks/virtual-hosts",
            basic: "\(StackSite.user):\(password)")
        guard status == 200 else {
            throw SocketProbe.Failure("the management API answers \(status) to its health check")
        }
    }

    /// The script of the Debian package that starts the node in the foreground as the current user. The
    /// one in /usr/sbin changes to another user and uses /var, but shows that the package is there.
    private static func findServer() throws(StackError) -> String {
        let found = try StackSite.find(
            "rabbitmq-server", package: "rabbitmq-server", for: .rabbitMQ, extraFolders: ["/usr/sbin"])
        let script = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        if ExecutableLookup.find(script) != nil { return script }
        // Not Debian's layout: a generic build's own script is the real one.
        guard let real = try? FileSystem.realPath(found),
            FileSystem.exists(FileSystem.parent(of: real) + "/rabbitmq-env")
        else {
            throw StackError(
                .missingExecutable, server: .rabbitMQ,
                "no '\(script)', which belongs to '\(found)'; install it: sudo apt-get install --reinstall rabbitmq-server"
            )
        }
        return real
    }

    private func configuration(_ site: StackSite, password: String) -> String {
        let ports = site.ports
        return """
            listeners.tcp.1 = 127.0.0.1:\(ports["amqp"])
            management.tcp.ip = 127.0.0.1
            management.tcp.port = \(ports["amqp-management"])
            prometheus.tcp.ip = 127.0.0.1
            prometheus.tcp.port = \(ports["amqp-metrics"])
            default_user = \(StackSite.user)
            default_pass = \(password)
            default_user_tags.administrator = true
            default_permissions.configure = .*
            default_permissions.read = .*
            default_permissions.write = .*
            loopback_users = none
            heartbeat = 20
            log.console = true
            log.console.level = info
            log.file = false
            vm_memory_high_watermark.absolute = 1GB
            disk_free_limit.absolute = 512MB
            collect_statistics_interval = 5000

            """
    }

    private func environment(_ site: StackSite) -> [String: String] {
        let folder = site.folder(of: name)
        let ports = site.ports
        return ProcessEnvironment.minimal().merging(
            [
                "HOME": "\(folder)/home",
                // The node becomes this very process instead of a child of a shell: one pid to watch and stop.
                "RUNNING_UNDER_SYSTEMD": "true",
                "RABBITMQ_NODENAME": "martlet@localhost",
                "RABBITMQ_MNESIA_BASE": "\(folder)/mnesia",
                "RABBITMQ_LOG_BASE": site.logFolder(of: name),
                "RABBITMQ_CONFIG_FILE": "\(folder)/rabbitmq.conf",
                "RABBITMQ_ENABLED_PLUGINS_FILE": "\(folder)/enabled_plugins",
                "RABBITMQ_PID_FILE": "\(folder)/pid",
                "RABBITMQ_CONF_ENV_FILE": "/dev/null",
                "RABBITMQ_GENERATED_CONFIG_DIR": "\(folder)/schema",
                "RABBITMQ_FEATURE_FLAGS_FILE": "\(folder)/mnesia/feature_flags",
                "RABBITMQ_DIST_PORT": "\(ports["amqp-distribution"])",
                "RABBITMQ_CTL_DIST_PORT_MIN": "\(ports["amqp-tools"])",
                "RABBITMQ_CTL_DIST_PORT_MAX": "\(ports["amqp-tools"])",
                "ERL_EPMD_PORT": "\(ports["epmd"])",
                "ERL_EPMD_ADDRESS": "127.0.0.1",
                // Two schedulers without busy waiting: a broker that is small and idle when it has nothing to do.
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                    "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
            ], uniquingKeysWith: { $1 })
    }
}
