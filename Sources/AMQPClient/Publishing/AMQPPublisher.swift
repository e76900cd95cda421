import Logging
import SocketExecutor

/// The publishing connection.
actor AMQPPublisher {
    private let executor = SocketExecutor(name: "amqp-publish")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(configuration: AMQPConfiguration, connectionName: String, logger: Logger, status: AMQPStatus) {
    }

    func connect(timeout: Duration) async throws { throw AMQPError(.closed, "not yet") }
    func close() async { executor.stop() }
    nonisolated func publish(_ publication: AMQPPublication, timeout: Duration) async throws {
        throw AMQPError(.closed, "not yet")
    }
    nonisolated func publish(_ batch: [AMQPPublication], timeout: Duration) async -> [Result<Void, AMQPError>] {
        batch.map { _ in .failure(AMQPError(.closed, "not yet")) }
    }
}
