import Glibc

extension LocalStack {
    /// Stops servers, whoever started them, each after the servers that need it; data stays.
    ///
    /// - Parameters:
    ///   - servers: all by default. What depends on one of them is stopped too, except through `restart`.
    ///   - progress: called from any thread.
    /// - Throws: `stopFailed` when one survives SIGKILL (a process in uninterruptible sleep).
    package func stop(
        _ servers: Set<ServerName> = Set(ServerName.allCases),
        progress: @escaping @Sendable (StackProgress) -> Void = { _ in }
    ) async throws {
        let lock = try await lock()
        try await inOrder(servers, after: { $0.dependents }) { try await self.takeDown($0, progress) }
        _ = consume lock
    }

    /// Stops one server cleanly and starts it again with the same port and data; the others keep running.
    package func restart(
        _ server: ServerName, progress: @escaping @Sendable (StackProgress) -> Void = { _ in }
    ) async throws {
        try await stop([server], progress: progress)
        try await start([server], progress: progress)
    }

    /// Sends a signal to a running server and its group: SIGKILL for a crash, SIGSTOP and SIGCONT for a
    /// server that hangs. The end, if any, comes through `exits`.
    /// - Throws: `notStarted` when it does not run.
    package func signal(_ server: ServerName, _ number: Int32) throws(StackError) {
        guard let process = try pids.process(server), process.signal(number, group: true) else {
            throw StackError(.notStarted, server: server, "does not run, so it cannot get signal \(number)")
        }
    }

    func takeDown(_ server: ServerName, _ progress: @Sendable (StackProgress) -> Void) async throws {
        let begin = ContinuousClock.now
        guard let process = try pids.process(server) else {
            try pids.set(server, to: nil)
            return
        }
        progress(StackProgress(server: server, phase: .stopping, elapsed: .zero))
        let held = running[server] ?? RunningServer(process: process, child: nil, since: begin)
        try pids.set(server, to: PidBook.Entry(process: process, isStopping: true))
        guard await held.stop(server.stopPolicy) else {
            throw StackError(
                .stopFailed, server: server,
                "process \(process.pid) is still there after SIGKILL; look at its state with ps -o stat= -p \(process.pid)"
            )
        }
        if running[server]?.process == process { running[server] = nil }
        try pids.set(server, to: nil)
        progress(StackProgress(server: server, phase: .stopped, elapsed: ContinuousClock.now - begin))
    }
}
