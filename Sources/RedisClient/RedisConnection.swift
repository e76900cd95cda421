import CHiredis
import Glibc
import Logging
import SocketExecutor
import Synchronization

/// One logical connection: a hiredis context that only this actor's thread touches, made again when it dies.
///
/// Callers leave requests in `inbox` and signal the thread, which appends all of them to the context's
/// output buffer and writes once. Replies come in the order of the commands, so the head of `inFlight` owns
/// the next one. Nothing that was sent is ever sent again.
actor RedisConnection {
    enum Role: Sendable {
        case commands
        /// For `withDedicatedConnection`: dies once, never comes back.
        case dedicated
        case subscriber(Subscriber)
    }

    enum Phase {
        case idle
        case resolving
        case connecting
        case greeting
        case ready
        case waiting
        case closed
    }

    struct InFlight {
        let request: RedisRequest
        var replies: [RedisRequest.Reply] = []
        let sent: ContinuousClock.Instant
    }

    private static let numbers = Atomic<UInt64>(0)

    nonisolated let executor: SocketExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    nonisolated let configuration: RedisConfiguration
    nonisolated let logger: Logger
    nonisolated let role: Role
    nonisolated let inbox: RequestInbox
    /// Counts connections made, so that a facade can tell when the server may have forgotten its scripts.
    nonisolated let generation = Atomic<UInt64>(0)

    var phase = Phase.idle
    var context: HiredisContext?
    var connectingSocket: Int32?
    var addresses: ArraySlice<SocketAddress> = []
    /// Replies that the first commands of a connection still wait for.
    var greeting: ArraySlice<String> = []
    var queue = Fifo<RedisRequest>()
    var inFlight = Fifo<InFlight>()
    var lastReceived = ContinuousClock.now
    var backoff = Backoff()
    var lastFailure: RedisError?
    var attempt: UInt64 = 0
    var phaseTimer: SocketExecutor.TimerID?
    var deadlineTimer: (id: SocketExecutor.TimerID, deadline: ContinuousClock.Instant)?

    init(configuration: RedisConfiguration, logger: Logger, role: Role) {
        executor = SocketExecutor(name: "redis-\(Self.numbers.add(1, ordering: .relaxed).newValue)")
        self.configuration = configuration
        self.logger = logger
        self.role = role
        inbox = RequestInbox(
            maximum: configuration.maximumOutstanding, maximumBytes: configuration.maximumOutstandingBytes)
    }

    deinit {
        executor.stop()
    }

    /// Connects, and from now on reads the inbox. Requests submitted before are served.
    func start() {
        executor.onSignal { [weak self] in
            self?.assumeIsolated { $0.takeRequests() }
        }
        // hiredis writes with write(2). Blocked on this thread alone, a write to a dead socket gives EPIPE
        // instead of ending the process, and child processes do not inherit an ignored signal.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        takeRequests()
        if phase == .idle { connect() }
    }

    /// From any thread: sends `commands` when there is a connection and waits for every reply.
    nonisolated func perform(_ commands: EncodedCommands, timeout: Duration) async throws -> [RedisRequest.Reply] {
        try Task.checkCancellation()
        let request = RedisRequest(commands, deadline: timeout > .zero ? .now + timeout : nil)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                request.wait(continuation)
                do {
                    try inbox.submit(request)
                    executor.signal()
                } catch {
                    request.end(.failure(error))
                }
            }
        } onCancel: {
            // Stops the wait only. What was sent may still take effect; what was not is dropped.
            request.end(.failure(CancellationError()))
        }
    }

    /// Fails what waits and ends the connection and its thread.
    func close() {
        guard phase != .closed else { return }
        inbox.close()
        takeRequests()
        disconnect()
        phase = .closed
        let error = RedisError(.closed, "the client was closed")
        failInFlight(error)
        failQueue(error)
        if case .subscriber(let subscriber) = role { subscriber.finish(nil) }
        executor.stop()
    }

    // MARK: Requests

    private func takeRequests() {
        let requests = inbox.take()
        guard !requests.isEmpty else { return }
        for request in requests {
            queue.append(request)
            if let deadline = request.deadline { watchDeadline(deadline) }
        }
        switch phase {
        case .ready: sendQueue()
        case .idle: connect()
        case .closed: failQueue(lastFailure ?? RedisError(.closed, "the connection was closed"))
        case .resolving, .connecting, .greeting, .waiting: break
        }
    }

    func sendQueue() {
        guard let context, phase == .ready else { return }
        let now = ContinuousClock.now
        while let request = queue.popFirst() {
            // Cancelled or timed out while it waited: not sent at all.
            if request.isEnded {
                inbox.settle(request)
                continue
            }
            guard request.commands.append(to: context.pointer) else {
                inbox.settle(request)
                request.end(.failure(RedisError(.notConnected, "hiredis is out of memory")))
                return lose(RedisError(.notConnected, "hiredis is out of memory"))
            }
            inFlight.append(InFlight(request: request, sent: now))
        }
        write()
    }

    func write() {
        guard let context else { return }
        var done: Int32 = 0
        guard redisBufferWrite(context.pointer, &done) == REDIS_OK else {
            // The server's last words (an error reply before it closed) may still be readable.
            receive()
            return lose(RedisError(.notConnected, "writing failed: \(context.errorMessage)"))
        }
        executor.setWatchedEvents(Int16(done == 1 ? POLLIN : POLLIN | POLLOUT))
    }

    // MARK: Replies

    func receive() {
        guard let context else { return }
        let received = context.read()
        if received ?? 0 > 0 { lastReceived = .now }
        while self.context != nil {
            switch context.nextReply() {
            case nil:
                return lose(RedisError(.protocolViolation, "the server's answer is no RESP: \(context.errorMessage)"))
            case .some(nil):
                if received == nil {
                    lose(RedisError(.notConnected, "the connection ended: \(context.errorMessage)"))
                } else if context.unparsedBytes > configuration.maximumReplyBytes {
                    lose(
                        RedisError(
                            .protocolViolation, "a reply is larger than \(configuration.maximumReplyBytes) bytes"))
                }
                return
            case .some(let value?): dispatch(value)
            }
        }
    }

    private func dispatch(_ value: RedisValue) {
        if phase == .greeting { return greetingReplied(value) }
        if case .subscriber(let subscriber) = role { return subscriber.receive(value) }
        guard var head = inFlight.first else {
            return lose(RedisError(.protocolViolation, "a reply came that no command asked for"))
        }
        if case .error(let text) = value {
            head.replies.append(.failure(RedisError(reply: text)))
        } else {
            head.replies.append(.success(value))
        }
        guard head.replies.count == head.request.commands.count else {
            inFlight.first = head
            return
        }
        inFlight.popFirst()
        inbox.settle(head.request)
        head.request.end(.success(head.replies))
    }

    // MARK: Endings

    func failQueue(_ error: RedisError) {
        for request in queue.removeAll() {
            inbox.settle(request)
            request.end(.failure(error))
        }
    }

    /// Every reply that came counts; the rest is unknown.
    func failInFlight(_ reason: RedisError) {
        let unknown = RedisError(
            .outcomeUnknown,
            "the connection was lost before the reply came: the command may or may not have taken effect",
            cause: reason.message)
        for var lost in inFlight.removeAll() {
            let missing = lost.request.commands.count - lost.replies.count
            lost.replies.append(contentsOf: (0..<missing).map { _ in .failure(unknown) })
            inbox.settle(lost.request)
            lost.request.end(.success(lost.replies))
        }
    }
}
