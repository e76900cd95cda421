import ChildProcess
package import Logging

/// The real servers of one data folder, as processes of this machine.
///
/// The folder holds everything: `ports.json`, `pids.json`, `secrets/`, and a folder per server with its
/// configuration, data and `log/`. Several invocations may use one folder at the same time: what changes
/// it is serialised by a lock, and servers that another invocation started are adopted. Servers outlive
/// the process that started them until `stop` is called.
///
///     let stack = try LocalStack(folder: ".martlet")
///     let endpoints = try await stack.start { print($0) }
///     …
///     try await stack.stop()
package actor LocalStack {
    /// The data folder, absolute and without symbolic links.
    package nonisolated let folder: String
    /// The ends that nobody asked for, of servers that this value started or adopted. One consumer.
    package nonisolated let exits: AsyncStream<ServerExit>

    let options: StackOptions
    let log: Logger
    let pids: PidBook
    let secrets: SecretStore
    var ports: PortBook
    var running: [ServerName: RunningServer] = [:]
    private let exitSink: AsyncStream<ServerExit>.Continuation

    /// Opens, or makes, a data folder. Starts nothing.
    /// - Parameters:
    ///   - folder: relative to the working directory or absolute.
    ///   - options: how the servers are run.
    ///   - log: gets what happens, without secrets.
    /// - Throws: `dataFolder` when it cannot be used.
    package init(
        folder: String, options: StackOptions = .durable, log: Logger = Logger(label: "martlet.stack")
    ) throws(StackError) {
        try Self.makeFolder(folder)
        self.folder = try FileSystem.realPath(folder)
        self.options = options
        self.log = log
        pids = PidBook(path: "\(self.folder)/pids.json")
        secrets = try SecretStore(folder: "\(self.folder)/secrets")
        ports = try PortBook(path: "\(self.folder)/ports.json")
        // An end is news until it is handled; more than a few per server are never outstanding.
        (exits, exitSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(64))
    }

    /// Makes a data folder. Others may pass through it, because the user that PostgreSQL runs as must, but not look
    /// around; what is in it has modes of its own.
    package static func makeFolder(_ folder: String) throws(StackError) {
        try FileSystem.makeFolder(folder, mode: 0o711)
    }

    deinit {
        exitSink.finish()
    }

    /// Where the servers answer, with credentials.
    /// - Throws: `notStarted` when no ports have been chosen yet.
    package func endpoints() throws(StackError) -> StackEndpoints {
        ports = try PortBook(path: "\(folder)/ports.json")
        guard ports["amqp"] != 0 || ports["redis"] != 0 || ports["postgresql"] != 0 || ports["s3"] != 0 else {
            throw StackError(.notStarted, "the stack in '\(folder)' has not been started yet: run martlet up")
        }
        return try site().endpoints()
    }

    /// How each server is, asking every one that runs.
    package func status() async throws -> [ServerStatus] {
        ports = try PortBook(path: "\(folder)/ports.json")
        var result: [ServerStatus] = []
        for server in ServerName.allCases {
            let port = server.portNames.first.map { ports[$0] }.flatMap { $0 == 0 ? nil : $0 }
            let process = try pids.process(server)
            result.append(
                ServerStatus(
                    server: server, state: process == nil ? .stopped : await health(of: server), pid: process?.pid,
                    port: port, runningFor: process?.age, logFile: site().logFile(of: server)))
        }
        return result
    }

    /// A free port of the loopback address for something beside the servers: the same each time, unless something else
    /// took it meanwhile.
    package func reservePort(for name: String) throws(StackError) -> UInt16 {
        ports = try PortBook(path: "\(folder)/ports.json")
        try ports.reserve([name])
        return ports[name]
    }

    /// The status code of `GET path` on a port of the loopback address; nil when nobody answers in two seconds.
    package static func httpStatus(port: UInt16, path: String) async -> Int? {
        try? await SocketProbe.offPool { try SocketProbe.httpStatus(port: port, path: path) }
    }

    /// The recipes' view of this stack now.
    func site() -> StackSite {
        StackSite(folder: folder, options: options, secrets: secrets, ports: ports)
    }

    func lock() async throws -> StackLock {
        try await StackLock.acquire("\(folder)/lock", timeout: options.lockTimeout)
    }

    /// Takes a server's process under observation, so that its end is noticed.
    func observe(_ server: ServerName, _ held: RunningServer) {
        running[server] = held
        // Unstructured: it lives as long as the server, not as the call that started it.
        Task { [weak self] in
            let status = await held.waitForEnd()
            await self?.ended(server, held, status)
        }
    }

    private func ended(_ server: ServerName, _ held: RunningServer, _ status: ExitStatus?) {
        guard running[server]?.process == held.process else { return }
        running[server] = nil
        // Gone from the book, replaced or marked: somebody, perhaps another invocation, stopped it on purpose.
        guard let entry = try? pids.entry(server), entry.process == held.process, !entry.isStopping else { return }
        let tail = FileSystem.tail(site().logFile(of: server))
        log.warning(
            "server ended", metadata: ["server": "\(server.title)", "status": "\(status.map { "\($0)" } ?? "unknown")"])
        exitSink.yield(
            ServerExit(server: server, status: status, uptime: ContinuousClock.now - held.since, logTail: tail))
    }

    private func health(of server: ServerName) async -> ServerStatus.State {
        do {
            let site = site()
            try await SocketProbe.offPool { try server.recipe.probe(site) }
            return .ready
        } catch {
            return .unhealthy("\(error)")
        }
    }
}
