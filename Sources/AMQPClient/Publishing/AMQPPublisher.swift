import Logging
import SocketExecutor
import Synchronization

/// The publishing connection.
actor AMQPPublisher {
    private struct Inbox {
        var publishes: [PendingPublish] = []
        var isStarted = false
        var isClosed = false
    }

    private let configuration: AMQPConfiguration
    private let connectionName: String
    private let logger: Logger
    private let status: AMQPStatus
    private let executor = SocketExecutor(name: "amqp-publish")
    private nonisolated let inbox = Mutex(Inbox())
    private let channel: PublishChannel
    private var link: AMQPLink?
    private var readiness = Readiness()
    private var deadline: (at: ContinuousClock.Instant, timer: SocketExecutor.TimerID)?
    private var whenSettled: (() -> Void)?

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(configuration: AMQPConfiguration, connectionName: String, logger: Logger, status: AMQPStatus) {
        self.configuration = configuration
        self.connectionName = connectionName
        self.logger = logger
        self.status = status
        channel = PublishChannel(maximumOutstanding: max(1, configuration.maximumOutstandingPublishes))
    }

    // MARK: Publishing, from any thread

    nonisolated func publish(_ publication: AMQPPublication, timeout: Duration) async throws {
        let outcome = await publish([publication], timeout: timeout)[0]
        if case .failure(let error) = outcome {
            if error.code == .cancelled { throw CancellationError() }
            throw error
        }
    }

    nonisolated func publish(_ batch: [AMQPPublication], timeout: Duration) async -> [Result<Void, AMQPError>] {
        guard !batch.isEmpty else { return [] }
        let ticket = PublishTicket(count: batch.count)
        guard !Task.isCancelled else { return await ticket.outcomes() }
        let deadline = ContinuousClock.now + timeout
        var valid: [PendingPublish] = []
        valid.reserveCapacity(batch.count)
        for (index, publication) in batch.enumerated() {
            do throws(AMQPError) {
                try AMQPMessage.checkShort(publication.exchange, "exchange")
                try AMQPMessage.checkShort(publication.routingKey, "routing key")
                try publication.message.validate(for: configuration)
                valid.append(
                    PendingPublish(publication: publication, ticket: ticket, index: index, deadline: deadline))
            } catch {
                ticket.complete(index, .failure(error))
            }
        }
        submit(valid)
        return await ticket.outcomes()
    }

    private nonisolated func submit(_ publishes: [PendingPublish]) {
        enum Next { case nothing, signal, start, refuse }
        let next = inbox.withLock { inbox -> Next in
            if inbox.isClosed { return .refuse }
            let wasEmpty = inbox.publishes.isEmpty
            inbox.publishes += publishes
            if !inbox.isStarted {
                inbox.isStarted = true
                return .start
            }
            return wasEmpty ? .signal : .nothing
        }
        switch next {
        case .nothing: break
        case .signal: executor.signal()
        // Once per client, and the caller awaits its outcome elsewhere.
        case .start: Task { await self.start() }
        case .refuse: for publish in publishes { publish.complete(.failure(.clientClosed)) }
        }
    }

    // MARK: Life

    func connect(timeout: Duration) async throws {
        start()
        guard let link else { throw AMQPError.clientClosed }
        if link.isUp { return }
        let waiter = readiness.add()
        executor.setTimer(at: .now + timeout) { [self] in
            readiness.fail(waiter, self.link?.lastError ?? Readiness.timedOut(configuration, timeout))
        }
        try await waiter.value()
    }

    private func start() {
        let isClosed = inbox.withLock { inbox in
            inbox.isStarted = true
            return inbox.isClosed
        }
        guard link == nil, !isClosed else { return }
        let link = AMQPLink(
            configuration: configuration, connectionName: connectionName, logger: logger, executor: executor,
            status: status, role: .publish,
            handlers: AMQPLink.Handlers(
                up: { [self] in linkUp() },
                down: { [self] in
                    channel.connectionLost($0)
                    settled()
                },
                failed: { [self] in readiness.connectFailed($0) },
                blocked: { [self] in if $0 == nil { channel.pump() } },
                turnEnded: { [self] in
                    channel.pump()
                    settled()
                },
                drained: { [self] in channel.pump() }))
        self.link = link
        executor.onSignal { [self] in
            link.signalled()
            takeInbox()
        }
        link.start()
        executor.signal()
    }

    private func linkUp() {
        guard let link else { return }
        channel.open(on: link)
        readiness.succeed()
    }

    private func takeInbox() {
        let publishes = inbox.withLock { inbox in
            defer { inbox.publishes = [] }
            return inbox.publishes
        }
        guard !publishes.isEmpty else { return }
        channel.add(publishes)
        if let earliest = publishes.lazy.map(\.deadline).min() { watch(earliest) }
        channel.pump()
    }

    /// Gives what is written two seconds to be confirmed, then closes.
    func close() async {
        let first = inbox.withLock { inbox -> Bool in
            defer { inbox.isClosed = true }
            return !inbox.isClosed
        }
        guard first else { return }
        takeInbox()
        guard let link else {
            channel.failAll(.clientClosed)
            executor.stop()
            return
        }
        channel.failWaiting(.clientClosed)
        if link.isUp, !channel.window.isEmpty {
            await withCheckedContinuation { continuation in
                whenSettled = { continuation.resume() }
                executor.setTimer(at: .now + .seconds(2)) { [self] in settled(evenIfNot: true) }
            }
        }
        channel.failAll(.clientClosed)
        readiness.finish(.clientClosed)
        await withCheckedContinuation { continuation in
            link.close { continuation.resume() }
        }
        if let deadline { executor.cancelTimer(deadline.timer) }
        executor.onSignal {}
        self.link = nil
        executor.stop()
    }

    private func settled(evenIfNot force: Bool = false) {
        guard let done = whenSettled, force || channel.window.isEmpty else { return }
        whenSettled = nil
        done()
    }

    // MARK: Deadlines

    private func watch(_ next: ContinuousClock.Instant) {
        if let deadline {
            guard next < deadline.at else { return }
            executor.cancelTimer(deadline.timer)
        }
        deadline = (next, executor.setTimer(at: next) { [self] in expire() })
    }

    private func expire() {
        deadline = nil
        let next = channel.expire(at: .now) { [self] written in overdue(written: written) }
        if let next { watch(next) }
    }

    private func overdue(written: Bool) -> AMQPError {
        if let reason = link?.blockedReason {
            return AMQPError(
                .blocked,
                "the broker takes no publishes: \(reason); free memory or disk there (rabbitmqctl status shows alarms)",
                isRetryable: true, isOutcomeUnknown: written)
        }
        if link?.isUp != true {
            return AMQPError(
                .timeout, "not published in time, because there is no connection", isRetryable: true,
                isOutcomeUnknown: written, cause: link?.lastError)
        }
        return AMQPError(
            .timeout,
            written
                ? "the broker at \(configuration.endpoint) did not confirm the message in time; it may be in its queue"
                : "the message was not sent in time: too many publishes wait for the broker's confirmations",
            isRetryable: true, isOutcomeUnknown: written)
    }
}

extension AMQPError {
    static var clientClosed: AMQPError {
        AMQPError(.closed, "the AMQP client was closed; make a new one")
    }
}
