import AMQPClient
import Glibc
import Logging
import TestServers
import Testing

/// The broker of this test process, as a configuration with short waits.
func sharedBroker() async throws -> AMQPConfiguration {
    try quick(AMQPConfiguration(url: await TestServers.shared.rabbitMQ().url))
}

/// Reconnects quickly, so that tests of it are short.
func quick(_ configuration: AMQPConfiguration) -> AMQPConfiguration {
    var configuration = configuration
    configuration.backoff = .init(initial: .milliseconds(50), maximum: .milliseconds(500))
    return configuration
}

/// A client that is closed on both paths.
func withClient<Value: Sendable>(
    _ configuration: AMQPConfiguration, name: String = "test", _ body: (AMQPClient) async throws -> Value
) async throws -> Value {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let client = AMQPClient(configuration: configuration, connectionName: name, logger: logger)
    do {
        let value = try await body(client)
        await client.close()
        return value
    } catch {
        await client.close()
        throw error
    }
}

/// A queue for one test, deleted on both paths.
func withQueue<Value: Sendable>(
    _ client: AMQPClient, _ arguments: [String: AMQPValue] = ["x-queue-type": "quorum"],
    _ body: (String) async throws -> Value
) async throws -> Value {
    let name = unique("queue")
    try await client.declare(AMQPTopology(queues: [.init(name, arguments: arguments)]))
    do {
        let value = try await body(name)
        try await client.deleteQueue(name)
        return value
    } catch {
        try? await client.deleteQueue(name)
        throw error
    }
}

func unique(_ kind: String) -> String {
    "test.\(kind).\(UInt64.random(in: 0 ... .max))"
}

/// Waits for what another process does, which nobody announces; fails after `limit`.
func eventually(
    _ what: String, within limit: Duration = .seconds(30), _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw Overdue(what: what) }
        try await Task.sleep(for: .milliseconds(20))
    }
}

struct Overdue: Error { let what: String }

func text(_ body: String) -> AMQPMessage { AMQPMessage(body: Array(body.utf8)) }

extension AMQPDelivery {
    var text: String { String(decoding: message.body, as: UTF8.self) }
}

extension AMQPConsumer {
    func collect(_ count: Int) async throws -> [AMQPDelivery] {
        var all: [AMQPDelivery] = []
        while all.count < count {
            let batch = try await nextBatch(max: count - all.count)
            if batch.isEmpty { break }
            all += batch
        }
        return all
    }
}
