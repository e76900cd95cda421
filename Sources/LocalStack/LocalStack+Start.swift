import ChildProcess
import Glibc
import Logging

extension LocalStack {
    /// Starts servers, and those they need, side by side; returns when all of them answer.
    ///
    /// Servers that run already are kept. When one fails the others are left as they are, so that a
    /// second call continues where this one ended.
    ///
    /// - Parameters:
    ///   - servers: all by default.
    ///   - progress: called from any thread, in order for one server.
    /// - Returns: where the servers answer.
    /// - Throws: the first failure as a `StackError` with the end of the server's log.
    @discardableResult
    package func start(
        _ servers: Set<ServerName> = Set(ServerName.allCases),
        progress: @escaping @Sendable (StackProgress) -> Void = { _ in }
    ) async throws -> StackEndpoints {
        let wanted = ServerName.closure(of: servers)
        let lock = try await lock()
        try await prepareStart(wanted, progress)
        try await inOrder(wanted, after: { $0.dependencies }) { try await self.bringUp($0, progress) }
        // Held until here on purpose.
        _ = consume lock
        return try site().endpoints()
    }

    /// Runs `step` for every server, each after those that `after` names; all that can go together do.
    func inOrder(
        _ servers: Set<ServerName>, after: (ServerName) -> [ServerName],
        step: @escaping @Sendable (ServerName) async throws -> Void
    ) async throws {
        var waiting = servers
        var done: Set<ServerName> = []
        var firstError: (any Error)?
        try await withThrowingTaskGroup(of: (ServerName, (any Error)?).self) { group in
            var active = 0
            while true {
                if firstError == nil {
                    for server in waiting where done.isSuperset(of: servers.intersection(after(server))) {
                        waiting.remove(server)
                        active += 1
                        group.addTask {
                            do {
                                try await step(server)
                                return (server, nil)
                            } catch {
                                return (server, error)
                            }
                        }
                    }
                }
                guard active > 0, let (server, error) = try await group.next() else { break }
                active -= 1
                done.insert(server)
                firstError = firstError ?? error
            }
        }
        if let firstError { throw firstError }
    }

    /// Chooses the ports of what is not running, and stops what depends on a server whose port changed.
    private func prepareStart(_ wanted: Set<ServerName>, _ progress: @Sendable (StackProgress) -> Void) async throws {
        ports = try PortBook(path: "\(folder)/ports.json")
        var moved: Set<ServerName> = []
        for server in ServerName.allCases where wanted.contains(server) {
            guard try pids.process(server) == nil else { continue }
            // Killed a moment ago, perhaps: its ports are still its own, and others know them.
            if try pids.entry(server) != nil { try await ports.waitUntilFree(server.portNames) }
            let changed = try ports.reserve(server.portNames)
            if !changed.isEmpty {
                moved.insert(server)
                progress(
                    StackProgress(
                        server: server,
                        phase: .notice("another process took its port; it now uses \(ports[server.portNames[0]])"),
                        elapsed: .zero))
            }
        }
        for dependent in Set(moved.flatMap(\.dependents)) {
            try await takeDown(dependent, progress)
        }
    }

    private func bringUp(_ server: ServerName, _ progress: @Sendable (StackProgress) -> Void) async throws {
        let begin = ContinuousClock.now
        func report(_ phase: StackProgress.Phase) {
            progress(StackProgress(server: server, phase: phase, elapsed: ContinuousClock.now - begin))
        }
        do {
            if try await adopt(server) {
                report(.alreadyRunning)
                return
            }
            report(.starting)
            try await launchWithFreePorts(server) { report(.launched($0)) }
            try await server.recipe.afterReady(site())
            report(.ready)
            log.info(
                "server ready", metadata: ["server": "\(server.title)", "after": "\(ContinuousClock.now - begin)"])
        } catch {
            report(.failed("\(error)"))
            throw error
        }
    }

    /// Keeps a server that runs and answers; one that runs and does not is stopped.
    private func adopt(_ server: ServerName) async throws -> Bool {
        guard let process = try pids.process(server) else { return false }
        let held = running[server] ?? RunningServer(process: process, child: nil, since: .now)
        // It may be starting still, for an invocation that died: give it the time a start gets.
        if await answers(held, server) == nil {
            if running[server] == nil { observe(server, held) }
            try pids.set(server, to: PidBook.Entry(process: process))
            try await server.recipe.afterReady(site())
            return true
        }
        log.warning("server does not answer; starting it again", metadata: ["server": "\(server.title)"])
        try await takeDown(server) { _ in }
        try await ports.waitUntilFree(server.portNames)
        return false
    }

    /// A port that was free may be taken before the server binds it: choose again, twice.
    private func launchWithFreePorts(
        _ server: ServerName, launched: (ProcessIdentity) -> Void
    ) async throws {
        for attempt in 1... {
            do {
                return try await launch(server, launched: launched)
            } catch let error as StackError where error.code == .startFailed && attempt < 3 {
                guard try !ports.reserve(server.portNames).isEmpty else { throw error }
                log.notice("a port was taken meanwhile; starting again", metadata: ["server": "\(server.title)"])
            }
        }
    }

    private func launch(_ server: ServerName, launched: (ProcessIdentity) -> Void) async throws {
        let site = site()
        let plan = try await server.recipe.prepare(site)
        let logFile = site.logFile(of: server)
        let child: ChildProcess
        do {
            child = try ChildProcess.spawn(
                plan.executable, arguments: plan.arguments, environment: plan.environment,
                workingDirectory: plan.workingDirectory, stdout: .file(logFile), stderr: .file(logFile))
        } catch {
            throw StackError(.startFailed, server: server, error.message)
        }
        guard let process = ProcessIdentity.of(child.pid) else {
            let status = await child.wait()
            throw StackError(
                .startFailed, server: server, "ended at once with \(status); its log is '\(logFile)'",
                logTail: FileSystem.tail(logFile))
        }
        launched(process)
        let held = RunningServer(process: process, child: child, since: .now)
        // Recorded before it is ready: whatever happens to this process, the next one can stop it.
        try pids.set(server, to: PidBook.Entry(process: process))
        guard let reason = await answers(held, server) else {
            observe(server, held)
            return
        }
        let status = child.exitStatus
        await child.terminate(signal: SIGKILL, grace: .seconds(5))
        try pids.set(server, to: nil)
        let what = status.map { "ended with \($0) while starting" } ?? "not ready: \(reason)"
        throw StackError(
            .startFailed, server: server, "\(what); its log is '\(logFile)'", logTail: FileSystem.tail(logFile))
    }

    /// Asks until the server answers (nil), ends, or the time is over; then the last reason.
    private func answers(_ held: RunningServer, _ server: ServerName) async -> String? {
        let site = site()
        let limit = server.recipe.startLimit * options.patience
        let deadline = ContinuousClock.now + limit
        var pause = Duration.milliseconds(25)
        while true {
            // Before it is asked: where this process itself stood still the server may be there since.
            let isLast = ContinuousClock.now >= deadline
            let reason: String
            do {
                try await SocketProbe.offPool { try server.recipe.probe(site) }
                return nil
            } catch {
                reason = "\(error)"
            }
            guard held.process.isAlive else { return "the process is gone" }
            guard !isLast else { return "\(reason) (waited \(limit))" }
            do {
                // There is nothing to wait on: a server says that it is ready by answering.
                try await Task.sleep(for: pause)
            } catch {
                return "the start was cancelled"
            }
            pause = min(pause * 2, .milliseconds(250))
        }
    }
}
