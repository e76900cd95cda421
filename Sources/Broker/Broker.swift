package import AMQPClient
package import Logging
package import Pipeline
import Synchronization

/// The domain on RabbitMQ: events in, tasks out, results back.
package final class Broker: Sendable {
    package let client: AMQPClient
    private let logger: Logger
    private let declaredPools = Mutex<Set<String>>([])
    private let isBaseDeclared = Atomic(false)

    package init(client: AMQPClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// The largest message that the fleet sends or takes: data goes through the object store. A scheduler holds some
    /// hundred messages at a time.
    package static let maximumMessageBytes = 4 << 20

    // MARK: Topology

    /// Declares all but the pools' queues, now and after every reconnection.
    package func declare() async throws {
        try await client.declare(Topology.base, onReconnect: !isBaseDeclared.load(ordering: .relaxed))
        isBaseDeclared.store(true, ordering: .relaxed)
    }

    /// Declares a pool's queue, once, and again after every reconnection.
    package func declare(pool: String) async throws {
        guard !declaredPools.withLock({ $0.contains(pool) }) else { return }
        try await client.declare(Topology.pool(pool), onReconnect: true)
        _ = declaredPools.withLock { $0.insert(pool) }
    }

    /// Declares a pool's queue again, which somebody may have deleted.
    package func redeclare(pool: String) async throws {
        guard declaredPools.withLock({ $0.contains(pool) }) else { return try await declare(pool: pool) }
        try await client.declare(Topology.pool(pool), onReconnect: false)
    }

    // MARK: Publishing

    /// A task on its way to its pool.
    package struct Task: Sendable {
        package var id: TaskID
        package var pool: String
        package var attempt: Int
        /// ``TaskPayload`` as JSON.
        package var payload: String
        package var traceparent: String?
        package var tracestate: String?

        package init(
            id: TaskID, pool: String, attempt: Int, payload: String, traceparent: String?, tracestate: String?
        ) {
            self.id = id
            self.pool = pool
            self.attempt = attempt
            self.payload = payload
            self.traceparent = traceparent
            self.tracestate = tracestate
        }

        var messageID: String { "\(id)/\(attempt)" }

        /// What a message's id says of its task; nil for an id of another form.
        package static func parse(messageID: String) -> (task: TaskID, attempt: Int)? {
            let parts = messageID.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 3, parts.allSatisfy({ !$0.isEmpty }), let attempt = Int(parts[2]) else { return nil }
            return (TaskID(run: RunID(String(parts[0])), stage: String(parts[1])), attempt)
        }
    }

    /// Sends tasks; returns those that the broker did not confirm, with why.
    package func publish(
        _ tasks: [Task], time: Timestamp, timeout: Duration
    ) async -> [(task: TaskID, error: AMQPError)] {
        let batch = tasks.map { task in
            AMQPPublication(
                AMQPMessage(
                    body: Envelope.task(task, time: time), contentType: Envelope.contentType,
                    messageID: task.messageID, type: MessageType.task),
                to: Topology.tasks, routingKey: task.pool)
        }
        return zip(tasks, await client.publish(batch, timeout: timeout)).compactMap { task, result in
            guard case .failure(let error) = result else { return nil }
            return (task.id, error)
        }
    }

    /// A result on its way to the schedulers.
    package struct Report: Sendable {
        let id: String
        let event: [UInt8]

        package init(_ result: TaskResult, traceparent: String?, tracestate: String?) {
            id = "\(result.task)/\(result.attempt)/\(result.token)"
            event = Envelope.result(result, id: id, traceparent: traceparent, tracestate: tracestate)
        }

        package var bytes: Int { event.count }
    }

    /// Sends results in one message; returns when the broker has it.
    package func publish(_ reports: [Report], timeout: Duration) async throws {
        guard let first = reports.first else { return }
        let message = AMQPMessage(
            body: reports.count == 1 ? first.event : Envelope.batch(reports.map(\.event)),
            contentType: reports.count == 1 ? Envelope.contentType : Envelope.batchContentType,
            messageID: first.id, type: MessageType.taskResult)
        try await client.publish(message, to: Topology.results, routingKey: Topology.resultsQueue, timeout: timeout)
    }

    /// Says that an attempt has begun; for attempts that take a while.
    package func publish(
        _ started: TaskStarted, traceparent: String?, tracestate: String?, timeout: Duration
    ) async throws {
        let event = CloudEvent(
            type: MessageType.taskStarted, source: "/martlet/worker/" + started.worker,
            id: "\(started.task)/\(started.attempt)/\(started.token)/started",
            subject: started.task.run.description, time: started.startedAt, traceparent: traceparent,
            tracestate: tracestate, data: started)
        try await send(event, to: Topology.results, routingKey: Topology.resultsQueue, timeout: timeout)
    }

    /// Publishes a producer's event.
    package func publish(_ event: CloudEvent<DataAvailable>, timeout: Duration) async throws {
        try await send(event, to: Topology.events, routingKey: event.type, timeout: timeout)
    }

    private func send<Payload>(
        _ event: CloudEvent<Payload>, to exchange: String, routingKey: String, timeout: Duration
    ) async throws {
        let message = AMQPMessage(
            body: try Envelope.encode(event), contentType: Envelope.contentType, messageID: event.id, type: event.type)
        try await client.publish(message, to: exchange, routingKey: routingKey, timeout: timeout)
    }

    // MARK: Consuming

    package func events(prefetch: UInt16) -> AMQPConsumer {
        client.consume(queue: Topology.eventsQueue, prefetch: prefetch)
    }

    package func results(prefetch: UInt16) -> AMQPConsumer {
        client.consume(queue: Topology.resultsQueue, prefetch: prefetch)
    }

    package func deadLetters(prefetch: UInt16) -> AMQPConsumer {
        client.consume(queue: Topology.deadQueue, prefetch: prefetch)
    }

    package func tasks(pool: String, prefetch: UInt16) -> AMQPConsumer {
        client.consume(queue: Topology.taskQueue(pool: pool), prefetch: prefetch)
    }

    /// Messages that wait in a pool's queue; nil when there is no such queue.
    package func waitingTasks(pool: String) async throws -> Int? {
        try await client.queueStatus(Topology.taskQueue(pool: pool))?.readyMessages
    }

    /// Results that no scheduler has taken yet.
    package func waitingResults() async throws -> Int {
        try await client.queueStatus(Topology.resultsQueue)?.readyMessages ?? 0
    }
}

extension Broker {
    /// - Throws: when a connection that is in use is down.
    package func checkConnection() async throws {
        guard client.isConnected else { throw BrokerUnreachable() }
    }
}

/// The broker cannot be reached now; the client goes on trying.
package struct BrokerUnreachable: Error, CustomStringConvertible {
    package var description: String { "not connected to RabbitMQ" }
}
