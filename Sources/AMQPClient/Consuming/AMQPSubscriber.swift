import CRabbitMQ
import Logging
import SocketExecutor
import Synchronization

/// The connection for everything but publishing.
actor AMQPSubscriber {
    nonisolated let counters = ConsumerCounters()
    private let configuration: AMQPConfiguration
    private let connectionName: String
    private let logger: Logger
    private let status: AMQPStatus
    private let executor = SocketExecutor(name: "amqp-consume")
    private nonisolated let nextTag = Atomic<UInt64>(1)
    private let control: RPCChannel
    private let fetch: RPCChannel
    private var link: AMQPLink?
    private var isClosed = false
    private var readiness = Readiness()
    private var consumers: [ObjectIdentifier: ConsumeChannel] = [:]
    private var redeclared: [AMQPTopology] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(configuration: AMQPConfiguration, connectionName: String, logger: Logger, status: AMQPStatus) {
        self.configuration = configuration
        self.connectionName = connectionName
        self.logger = logger
        self.status = status
        control = RPCChannel(executor: executor, counters: counters)
        fetch = RPCChannel(executor: executor, counters: counters)
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
        guard link == nil, !isClosed else { return }
        let link = AMQPLink(
            configuration: configuration, connectionName: connectionName, logger: logger, executor: executor,
            status: status, role: .consume,
            handlers: AMQPLink.Handlers(
                up: { [self] in linkUp() },
                down: { [self] _ in
                    control.connectionLost()
                    fetch.connectionLost()
                    for consumer in consumers.values { consumer.connectionLost() }
                    removeFinished()
                },
                failed: { [self] in connectFailed($0) },
                blocked: { _ in },
                turnEnded: { [self] in turnEnded() },
                drained: {}))
        self.link = link
        executor.onSignal { [self] in
            link.signalled()
            settle()
        }
        link.start()
    }

    private func linkUp() {
        guard let link else { return }
        readiness.succeed()
        control.attach(to: link)
        fetch.attach(to: link)
        if redeclared.isEmpty {
            subscribeAll()
        } else {
            // Consumers need their queues first. Once per reconnect, hence a task.
            Task { await redeclare() }
        }
    }

    private func redeclare() async {
        for topology in redeclared {
            do {
                try await perform(topology)
            } catch {
                logger.error("cannot declare again after the reconnect", metadata: ["error": "\(error)"])
            }
        }
        subscribeAll()
    }

    private func subscribeAll() {
        guard let link else { return }
        for consumer in consumers.values { consumer.subscribe(on: link) }
    }

    private func connectFailed(_ error: AMQPError) {
        readiness.connectFailed(error)
        guard !error.isRetryable else { return }
        control.failAll(error)
        fetch.failAll(error)
    }

    private func turnEnded() {
        for consumer in consumers.values { consumer.flushFresh() }
        removeFinished()
    }

    private func removeFinished() {
        for (id, consumer) in consumers where consumer.isOver { consumers[id] = nil }
    }

    private func settle() {
        control.settle()
        fetch.settle()
        for consumer in consumers.values { consumer.settle() }
        removeFinished()
        link?.flush()
    }

    func close() async {
        guard !isClosed else { return }
        isClosed = true
        settle()
        readiness.finish(.clientClosed)
        control.failAll(.clientClosed)
        fetch.failAll(.clientClosed)
        for consumer in consumers.values { consumer.clientClosed() }
        consumers = [:]
        if let link {
            await withCheckedContinuation { continuation in
                link.close { continuation.resume() }
            }
            executor.onSignal {}
        }
        link = nil
        executor.stop()
    }

    // MARK: Questions

    private func ask(_ channel: RPCChannel, _ request: @escaping RPCCall.Request) async throws -> RPCCall.Reply {
        guard !isClosed else { throw AMQPError.clientClosed }
        start()
        let call = RPCCall(deadline: .now + configuration.rpcTimeout, request)
        let timer = executor.setTimer(at: call.deadline) { [self] in
            call.complete(.failure(overdue()))
            channel.prune()
        }
        defer { executor.cancelTimer(timer) }
        channel.ask(call)
        return try await call.reply()
    }

    private func overdue() -> AMQPError {
        AMQPError(
            .timeout, "the broker at \(configuration.endpoint) did not answer within \(configuration.rpcTimeout)",
            isRetryable: true, isOutcomeUnknown: true, cause: link?.isUp == true ? nil : link?.lastError)
    }

    func declare(_ topology: AMQPTopology, onReconnect: Bool) async throws {
        try await perform(topology)
        if onReconnect { redeclared.append(topology) }
    }

    private func perform(_ topology: AMQPTopology) async throws {
        for exchange in topology.exchanges {
            try await declare("exchange", exchange.name, TopologyRequests.exchange(exchange))
        }
        for queue in topology.queues {
            try await declare("queue", queue.name, TopologyRequests.queue(queue))
        }
        for binding in topology.bindings {
            try await declare(
                "binding", "\(binding.exchange)' → '\(binding.queue)' by '\(binding.routingKey)",
                TopologyRequests.binding(binding))
        }
    }

    private func declare(_ kind: String, _ name: String, _ request: @escaping RPCCall.Request) async throws {
        do {
            _ = try await ask(control, request)
        } catch let error as AMQPError where error.replyCode != nil {
            throw error.declaring(kind, name)
        }
    }

    func queueStatus(_ name: String) async throws -> AMQPQueueStatus? {
        do {
            guard case .queue(let status) = try await ask(control, TopologyRequests.status(of: name)) else {
                return nil
            }
            return status
        } catch let error as AMQPError where error.code == .notFound {
            return nil
        }
    }

    func purge(queue: String) async throws -> Int {
        guard case .count(let count) = try await ask(control, TopologyRequests.purge(queue)) else { return 0 }
        return count
    }

    func deleteQueue(_ name: String) async throws {
        _ = try await ask(control, TopologyRequests.deleteQueue(name))
    }

    func deleteExchange(_ name: String) async throws {
        _ = try await ask(control, TopologyRequests.deleteExchange(name))
    }

    func get(queue: String) async throws -> AMQPDelivery? {
        guard case .message(let delivery) = try await ask(fetch, TopologyRequests.get(queue)) else { return nil }
        return delivery
    }

    // MARK: Consumers

    nonisolated func consume(
        queue: String, prefetch: UInt16, consumerTag: String?, exclusive: Bool
    ) -> AMQPConsumer {
        let number = nextTag.add(1, ordering: .relaxed).oldValue
        let core = ConsumerCore(
            queue: queue, consumerTag: consumerTag ?? "\(connectionName.prefix(120)).\(number)",
            prefetch: max(1, prefetch), exclusive: exclusive, executor: executor)
        // `consume` does not wait: the sequence does, for its first element.
        Task { await self.add(core) }
        return AMQPConsumer(core: core, subscriber: self)
    }

    private func add(_ core: ConsumerCore) {
        guard !isClosed else { return core.end(nil) }
        // A consumer that was cancelled before this ran.
        guard !core.isEnded else { return }
        do throws(AMQPError) {
            try AMQPMessage.checkShort(core.queue, "queue")
            try AMQPMessage.checkShort(core.consumerTag, "consumer tag")
        } catch {
            return core.end(error)
        }
        let consumer = ConsumeChannel(
            core: core, counters: counters, logger: logger, executor: executor, backoff: configuration.backoff)
        consumers[ObjectIdentifier(core)] = consumer
        start()
        if let link { consumer.subscribe(on: link) }
    }

    func cancel(_ core: ConsumerCore, requeueBuffered: Bool) async {
        guard let consumer = consumers[ObjectIdentifier(core)] else { return core.end(nil) }
        await withCheckedContinuation { continuation in
            consumer.cancel(requeueBuffered: requeueBuffered) { continuation.resume() }
        }
        removeFinished()
    }
}
