package import Logging
import SocketExecutor
import Synchronization

/// A RabbitMQ client: confirmed publishing, consuming with explicit settlement, topology.
///
/// It keeps two connections, one for publishing and one for everything else, because a broker under
/// an alarm stops reading the connections that publish. Each connects when first used, or by
/// `connect()`, and reconnects for ever, with jittered exponential backoff, until `close()`.
package final class AMQPClient: Sendable {
    package let configuration: AMQPConfiguration
    private let publisher: AMQPPublisher
    private let subscriber: AMQPSubscriber
    private let status: AMQPStatus

    /// - Parameter connectionName: shown in the broker's management pages, followed by the role.
    package init(configuration: AMQPConfiguration, connectionName: String, logger: Logger) {
        self.configuration = configuration
        status = AMQPStatus()
        publisher = AMQPPublisher(
            configuration: configuration, connectionName: connectionName + " (publish)", logger: logger,
            status: status)
        subscriber = AMQPSubscriber(
            configuration: configuration, connectionName: connectionName + " (consume)", logger: logger,
            status: status)
    }

    deinit {
        // The safety net for a client dropped without `close()`. The two actors do not know the client,
        // and nothing can await here, hence the task.
        Task { [publisher, subscriber] in
            await publisher.close()
            await subscriber.close()
        }
    }

    // MARK: Connection

    /// Opens both connections, for readiness. Retries what may pass until the time is over; a refused
    /// login, a missing virtual host or a bad certificate is thrown at once. Either way the client
    /// goes on trying in the background.
    /// - Parameter timeout: for both connections; by default three times `connectTimeout`.
    package func connect(timeout: Duration? = nil) async throws {
        let timeout = timeout ?? configuration.connectTimeout * 3
        async let publishing: Void = publisher.connect(timeout: timeout)
        async let consuming: Void = subscriber.connect(timeout: timeout)
        try await publishing
        try await consuming
    }

    /// Ends both connections: settlements that were made are sent, unconfirmed publishes fail with
    /// `closed`, consumers end, and the broker takes back what was not settled. Takes a few seconds
    /// at most, also when the broker does not answer. The client is of no use afterwards.
    package func close() async {
        async let publishing: Void = publisher.close()
        async let consuming: Void = subscriber.close()
        _ = await (publishing, consuming)
        status.finish()
    }

    /// True while every connection that was started is up.
    package var isConnected: Bool { status.isConnected }

    /// Changes of the connections from now on; each call makes a stream of its own. A reader that
    /// lags keeps the newest 64.
    package var events: AsyncStream<AMQPConnectionEvent> { status.events() }

    // MARK: Topology

    /// Declares exchanges, then queues, then bindings.
    /// - Parameters:
    ///   - topology: names are declared in the order given.
    ///   - onReconnect: declare it again, before consumers resume, after every reconnect.
    /// - Throws: `topologyMismatch` names the object, the property, both values and the remedy.
    package func declare(_ topology: AMQPTopology, onReconnect: Bool = false) async throws {
        try await subscriber.declare(topology, onReconnect: onReconnect)
    }

    /// - Returns: nil if there is no such queue.
    package func queueStatus(_ name: String) async throws -> AMQPQueueStatus? {
        try await subscriber.queueStatus(name)
    }

    /// Drops the messages that are ready; those delivered and not settled stay.
    /// - Returns: how many were dropped.
    @discardableResult
    package func purge(queue: String) async throws -> Int {
        try await subscriber.purge(queue: queue)
    }

    /// Deletes a queue with its messages. A queue that does not exist is no error.
    package func deleteQueue(_ name: String) async throws {
        try await subscriber.deleteQueue(name)
    }

    /// Deletes an exchange with its bindings. An exchange that does not exist is no error.
    package func deleteExchange(_ name: String) async throws {
        try await subscriber.deleteExchange(name)
    }

    // MARK: Publishing

    /// Returns when the broker has taken responsibility for the message.
    ///
    /// Concurrent calls share system calls, so publishing from many tasks is as fast as a batch.
    /// While the connection is down the message waits, and is sent after the reconnect.
    /// - Parameters:
    ///   - exchange: the empty name is the default exchange, which routes by queue name.
    ///   - mandatory: a message that reaches no queue is an error.
    ///   - timeout: from this call until the confirmation.
    /// - Throws: `AMQPError`: `unroutable`, `nacked`, `blocked`, `timeout`, `connectionLost`,
    ///   `messageTooLarge`, `invalidMessage`, `closed`; `CancellationError` if the task is cancelled.
    ///   With `isOutcomeUnknown` the message was written and may be in the queue.
    package func publish(
        _ message: AMQPMessage, to exchange: String, routingKey: String, mandatory: Bool = true,
        timeout: Duration = .seconds(30)
    ) async throws {
        try await publisher.publish(
            AMQPPublication(message, to: exchange, routingKey: routingKey, mandatory: mandatory), timeout: timeout)
    }

    /// Publishes all, waits once for all confirmations.
    /// - Returns: the outcome of each, in order.
    package func publish(
        _ batch: [AMQPPublication], timeout: Duration = .seconds(30)
    ) async -> [Result<Void, AMQPError>] {
        await publisher.publish(batch, timeout: timeout)
    }

    // MARK: Consuming

    /// Starts consuming at once, and connects if need be. Errors come from the sequence.
    /// - Parameters:
    ///   - prefetch: unsettled deliveries at most, and so the bound of the buffer. At least 1.
    ///   - consumerTag: chosen by the client if nil.
    ///   - exclusive: refuse if others consume, and keep others out.
    package func consume(
        queue: String, prefetch: UInt16, consumerTag: String? = nil, exclusive: Bool = false
    ) -> AMQPConsumer {
        subscriber.consume(queue: queue, prefetch: prefetch, consumerTag: consumerTag, exclusive: exclusive)
    }

    /// Takes one message, to be settled like any delivery. All share a channel, so a call for a queue
    /// that does not exist gives back what was taken this way and is not settled.
    /// - Returns: nil if none is ready.
    package func get(queue: String) async throws -> AMQPDelivery? {
        try await subscriber.get(queue: queue)
    }

    // MARK: Counters

    /// Settlements dropped because their channel was gone or they were made twice.
    package var droppedSettlements: UInt64 { subscriber.counters.droppedSettlements }

    /// Messages rejected because they were larger than `maximumMessageBytes`.
    package var oversizedDeliveries: UInt64 { subscriber.counters.oversizedDeliveries }

    /// Times that a connection was made after the first.
    package var reconnects: UInt64 { status.reconnects }
}
