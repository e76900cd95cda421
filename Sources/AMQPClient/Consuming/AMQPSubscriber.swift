import Logging
import SocketExecutor

/// The connection for everything but publishing.
actor AMQPSubscriber {
    nonisolated let counters = ConsumerCounters()
    private let executor = SocketExecutor(name: "amqp-consume")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(configuration: AMQPConfiguration, connectionName: String, logger: Logger, status: AMQPStatus) {
    }

    func connect(timeout: Duration) async throws { throw AMQPError(.closed, "not yet") }
    func close() async { executor.stop() }
    func declare(_ topology: AMQPTopology, onReconnect: Bool) async throws { throw AMQPError(.closed, "not yet") }
    func queueStatus(_ name: String) async throws -> AMQPQueueStatus? { throw AMQPError(.closed, "not yet") }
    func purge(queue: String) async throws -> Int { throw AMQPError(.closed, "not yet") }
    func deleteQueue(_ name: String) async throws { throw AMQPError(.closed, "not yet") }
    func deleteExchange(_ name: String) async throws { throw AMQPError(.closed, "not yet") }
    func get(queue: String) async throws -> AMQPDelivery? { throw AMQPError(.closed, "not yet") }
    nonisolated func consume(
        queue: String, prefetch: UInt16, consumerTag: String?, exclusive: Bool
    ) -> AMQPConsumer {
        let core = ConsumerCore(
            queue: queue, consumerTag: consumerTag ?? queue, prefetch: prefetch, exclusive: exclusive,
            executor: executor)
        return AMQPConsumer(core: core, subscriber: self)
    }
    func cancel(_ core: ConsumerCore, requeueBuffered: Bool) async {}
}
