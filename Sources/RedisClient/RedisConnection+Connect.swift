import CHiredis
import Glibc
import Logging
import SocketExecutor
import Synchronization

extension RedisConnection {
    func connect() {
        attempt += 1
        let attempt = attempt
        phase = .resolving
        setPhaseTimer(after: configuration.connectTimeout) { connection in
            connection.lose(
                RedisError(
                    .notConnected,
                    "no connection to \(connection.configuration) within \(connection.configuration.connectTimeout)",
                    cause: connection.lastFailure?.message))
        }
        switch configuration.address {
        case .unix(let path): connect(to: [.unix(path)])
        case .tcp(let host, let port):
            Resolver.resolve(host: host, port: port) { [weak self] result in
                Task { await self?.resolved(result, attempt: attempt) }
            }
        }
    }

    private func resolved(_ result: Result<[SocketAddress], RedisError>, attempt: UInt64) {
        // An answer that comes after its attempt was given up is of no use.
        guard attempt == self.attempt, phase == .resolving else { return }
        switch result {
        case .success(let addresses): connect(to: addresses[...])
        case .failure(let error): lose(error)
        }
    }

    private func connect(to candidates: ArraySlice<SocketAddress>) {
        phase = .connecting
        addresses = candidates
        guard let address = addresses.popFirst() else {
            return lose(RedisError(.notConnected, "\(configuration) has no address"))
        }
        switch address.connect() {
        case .failure(let error): addressFailed(error)
        case .success(let socket):
            connectingSocket = socket
            executor.watch(socket, events: Int16(POLLOUT)) { [weak self] _ in
                self?.assumeIsolated { $0.connectFinished() }
            }
        }
    }

    private func addressFailed(_ error: SocketAddress.Errno) {
        guard addresses.isEmpty else { return connect(to: addresses) }
        lose(RedisError(.notConnected, "cannot connect to \(configuration): \(error)"))
    }

    private func connectFinished() {
        guard let socket = connectingSocket else { return }
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0 { error = errno }
        executor.unwatch()
        connectingSocket = nil
        guard error == 0 else {
            Glibc.close(socket)
            return addressFailed(.init(error))
        }
        guard let context = HiredisContext(socket: socket) else {
            Glibc.close(socket)
            return lose(RedisError(.notConnected, "hiredis is out of memory"))
        }
        self.context = context
        executor.watch(socket, events: Int16(POLLIN)) { [weak self] events in
            self?.assumeIsolated { $0.socketReady(events) }
        }
        greet(context)
    }

    private func socketReady(_ events: Int16) {
        if Int32(events) & POLLOUT != 0 { write() }
        if Int32(events) & ~POLLOUT != 0 { receive() }
    }

    /// The first commands of a connection, in one write. PING shows whether commands are taken at all.
    private func greet(_ context: HiredisContext) {
        phase = .greeting
        var commands: [[RedisArgument]] = []
        if let password = configuration.password {
            commands.append(["AUTH"] + (configuration.user.map { [.string($0)] } ?? []) + [.string(password)])
        }
        if configuration.database != 0 { commands.append(["SELECT", .integer(configuration.database)]) }
        if let name = configuration.clientName, !name.isEmpty {
            commands.append(["CLIENT", "SETNAME", .string(name)])
        }
        commands.append(["PING"])
        greeting = commands.map { if case .string(let name)? = $0.first { name } else { "" } }[...]
        do {
            guard try EncodedCommands(commands).append(to: context.pointer) else {
                return lose(RedisError(.notConnected, "hiredis is out of memory"))
            }
            write()
        } catch {
            lose(RedisError(.notConnected, "the first commands cannot be sent: \(error)"))
        }
    }

    func greetingReplied(_ value: RedisValue) {
        guard let command = greeting.popFirst() else { return }
        if case .error(let text) = value {
            var error = RedisError(reply: text)
            // A user whose ACL lacks CLIENT or PING can still work.
            let isHarmless = (command == "CLIENT" || command == "PING") && error.code == .permissionDenied
            if !isHarmless {
                error.message = "\(command) at connect: \(error.message)"
                return lose(error)
            }
        }
        guard greeting.isEmpty else { return }
        phase = .ready
        clearPhaseTimer()
        backoff = Backoff()
        lastFailure = nil
        lastReceived = .now
        generation.add(1, ordering: .releasing)
        logger.debug("Redis connected", metadata: ["server": "\(configuration)"])
        if case .subscriber(let subscriber) = role { subscribe(subscriber) }
        sendQueue()
    }

    // MARK: Losing

    func disconnect() {
        attempt += 1
        executor.unwatch()
        clearPhaseTimer()
        if let connectingSocket { Glibc.close(connectingSocket) }
        connectingSocket = nil
        context = nil
        addresses = []
        greeting = []
    }

    /// The one place where a connection dies, or an attempt fails.
    func lose(_ reason: RedisError) {
        guard phase != .closed else { return }
        let wasReady = phase == .ready
        disconnect()
        lastFailure = reason
        failInFlight(reason)
        logger.debug("Redis connection lost", metadata: ["server": "\(configuration)", "error": "\(reason)"])
        if case .dedicated = role {
            phase = .closed
            inbox.close()
            failQueue(reason)
            return executor.stop()
        }
        guard isPassing(reason) else {
            // A wrong password stays wrong: nobody waits for a timeout. The next request tries again.
            failQueue(reason)
            if case .subscriber(let subscriber) = role, !subscriber.hasSubscribed {
                subscriber.finish(reason)
                phase = .closed
                return executor.stop()
            }
            return waitThenConnect(onlyIfAsked: true)
        }
        if wasReady { backoff = Backoff() }
        waitThenConnect(onlyIfAsked: false)
    }

    private func isPassing(_ reason: RedisError) -> Bool {
        ![.authenticationFailed, .permissionDenied, .server, .invalidConfiguration].contains(reason.code)
    }

    private func waitThenConnect(onlyIfAsked: Bool) {
        phase = .waiting
        setPhaseTimer(after: backoff.next(maximum: configuration.maximumBackoff)) { connection in
            var isSubscriber = false
            if case .subscriber = connection.role { isSubscriber = true }
            if onlyIfAsked, connection.queue.isEmpty, !isSubscriber {
                connection.phase = .idle
            } else {
                connection.connect()
            }
        }
    }

    // MARK: Timers

    func setPhaseTimer(after wait: Duration, _ body: @escaping @Sendable (isolated RedisConnection) -> Void) {
        clearPhaseTimer()
        phaseTimer = executor.setTimer(at: .now + wait) { [weak self] in
            self?.assumeIsolated {
                $0.phaseTimer = nil
                body($0)
            }
        }
    }

    func clearPhaseTimer() {
        if let phaseTimer { executor.cancelTimer(phaseTimer) }
        phaseTimer = nil
    }

    /// One timer for all requests, at the earliest deadline; answered requests leave it standing.
    func watchDeadline(_ deadline: ContinuousClock.Instant) {
        if let current = deadlineTimer {
            guard deadline < current.deadline else { return }
            executor.cancelTimer(current.id)
        }
        let id = executor.setTimer(at: deadline) { [weak self] in
            self?.assumeIsolated { $0.expire() }
        }
        deadlineTimer = (id, deadline)
    }

    private func expire() {
        deadlineTimer = nil
        let now = ContinuousClock.now
        var next: ContinuousClock.Instant?
        func isExpired(_ request: RedisRequest) -> Bool {
            guard let deadline = request.deadline, !request.isEnded else { return false }
            if deadline <= now { return true }
            next = min(next ?? deadline, deadline)
            return false
        }
        for request in queue.removeAll(where: isExpired) {
            inbox.settle(request)
            var error = RedisError(.notConnected, "no connection to \(configuration) came up in time")
            error.cause = lastFailure?.message
            request.end(.failure(error))
        }
        var hasExpired = false
        inFlight.forEach { sent in
            guard isExpired(sent.request) else { return }
            hasExpired = true
            let error = RedisError(
                .timedOut, "no reply in time: the command may or may not have taken effect")
            let missing = sent.request.commands.count - sent.replies.count
            sent.request.end(.success(sent.replies + (0..<missing).map { _ in .failure(error) }))
        }
        if let next { watchDeadline(next) }
        guard hasExpired, let oldest = inFlight.first else { return }
        // A server that has said nothing at all for this long may be gone: only a new connection can tell.
        let silence = max(oldest.sent, lastReceived).duration(to: now)
        var isDedicated = false
        if case .dedicated = role { isDedicated = true }
        if isDedicated || silence * 10 >= configuration.commandTimeout * 9 {
            lose(RedisError(.notConnected, "the server was silent for \(silence)"))
        }
    }
}
