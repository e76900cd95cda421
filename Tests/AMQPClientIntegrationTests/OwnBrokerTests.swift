import AMQPClient
import Glibc
import LocalStack
import TestServers
import Testing

/// What needs a broker that may be restarted, alarmed and given a TLS listener.
@Suite(.serialized) struct OwnBrokerTests {
    private static let broker = Task { OwnBroker(stack: try await TestServers.fresh(.rabbitMQ)) }

    @Test(.timeLimit(.minutes(4))) func aBlockedBrokerIsAnErrorOfTheWaitingPublish() async throws {
        let broker = try await Self.broker.value
        try await withClient(broker.configuration()) { client in
            try await withQueue(client) { queue in
                let events = client.events
                try await client.publish(text("before"), to: "", routingKey: queue)
                try await broker.control("set_vm_memory_high_watermark", "absolute", "1MB")
                // The broker says so to a connection once it publishes.
                let error = await #expect(throws: AMQPError.self) {
                    try await client.publish(text("x"), to: "", routingKey: queue, timeout: .seconds(4))
                }
                #expect(error?.code == .blocked && error?.isRetryable == true, "\(String(describing: error))")
                #expect(error?.message.contains("memory") == true)
                // The other connection works meanwhile.
                #expect(try await client.queueStatus(queue) != nil)
                let second = await #expect(throws: AMQPError.self) {
                    try await client.publish(text("y"), to: "", routingKey: queue, timeout: .seconds(1))
                }
                #expect(second?.code == .blocked && second?.isOutcomeUnknown == false)
                try await broker.control("set_vm_memory_high_watermark", "absolute", "1GB")
                try await client.publish(text("after"), to: "", routingKey: queue)
                var seen: [AMQPConnectionEvent] = []
                for await event in events {
                    seen.append(event)
                    if event == .unblocked { break }
                }
                #expect(seen.contains { if case .blocked = $0 { true } else { false } })
                #expect(client.reconnects == 0)
            }
        }
    }

    @Test(.timeLimit(.minutes(3))) func aBrokerRestartIsSurvived() async throws {
        let broker = try await Self.broker.value
        try await withClient(broker.configuration()) { client in
            try await withQueue(client) { queue in
                let temporary = unique("temporary")
                try await client.declare(
                    AMQPTopology(queues: [.init(temporary, durable: false, autoDelete: false)]), onReconnect: true)
                let consumer = client.consume(queue: queue, prefetch: 10)
                let volatile = client.consume(queue: temporary, prefetch: 10)
                try await client.publish(text("unsettled"), to: "", routingKey: queue)
                let before = try await consumer.collect(1)
                try await broker.stack.restart(.rabbitMQ)
                // Waits for the reconnect by itself.
                try await client.publish(text("after"), to: "", routingKey: queue, timeout: .seconds(60))
                var seen: Set<String> = []
                while seen.count < 2 {
                    let batch = try await consumer.nextBatch(max: 10)
                    for delivery in batch { seen.insert(delivery.text) }
                    consumer.ack(batch)
                }
                #expect(seen == ["unsettled", "after"])
                before[0].ack()
                // This queue went down with the broker; it was declared again before its consumer came back.
                try await client.publish(text("again"), to: "", routingKey: temporary, timeout: .seconds(30))
                #expect(try await volatile.collect(1).first?.text == "again")
                try await client.deleteQueue(temporary)
            }
        }
    }

    @Test(.timeLimit(.minutes(4))) func tlsVerifiesTheBrokersCertificate() async throws {
        let broker = try await Self.broker.value
        let folder = broker.stack.folder
        func openssl(_ arguments: String...) throws {
            guard try runProgram("openssl", arguments) == 0 else { throw Overdue(what: "openssl \(arguments)") }
        }
        let (ca, caKey) = ("\(folder)/ca.pem", "\(folder)/ca.key")
        let (certificate, key, request) = ("\(folder)/server.pem", "\(folder)/server.key", "\(folder)/server.csr")
        try openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", caKey, "-out", ca, "-days", "2", "-subj",
            "/CN=Test CA")
        try openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=localhost")
        try openssl(
            "x509", "-req", "-in", request, "-CA", ca, "-CAkey", caKey, "-CAcreateserial", "-out", certificate,
            "-days", "2")
        let port = try freePort()
        try await broker.control(
            "eval",
            "rabbit_networking:start_ssl_listener({\"127.0.0.1\", \(port)}, [{cacertfile, \"\(ca)\"}, "
                + "{certfile, \"\(certificate)\"}, {keyfile, \"\(key)\"}, {verify, verify_none}], 2).")
        var configuration = try await broker.configuration()
        configuration.host = "localhost"
        configuration.port = port
        configuration.tls = .init(caCertificateFile: ca)
        try await withClient(configuration) { client in
            try await client.connect()
            try await withQueue(client) { queue in
                let bodies = [[], [1], [UInt8](repeating: 9, count: 1_000_000)]
                let consumer = client.consume(queue: queue, prefetch: 5)
                for body in bodies { try await client.publish(AMQPMessage(body: body), to: "", routingKey: queue) }
                let deliveries = try await consumer.collect(3)
                #expect(deliveries.map(\.message.body) == bodies)
                consumer.ack(deliveries)
            }
        }
        // A write to a connection that the peer has reset must not end the process (SIGPIPE).
        let proxy = try FaultProxy(to: port)
        defer { proxy.close() }
        var proxied = configuration
        proxied.port = proxy.port
        try await withClient(proxied) { client in
            try await withQueue(client) { queue in
                for _ in 0..<10 {
                    async let outcomes = client.publish(
                        (0..<200).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) })
                    proxy.cut()
                    for case .failure(let error) in await outcomes { #expect(error.isRetryable, "\(error)") }
                }
                try await client.publish(text("last"), to: "", routingKey: queue)
            }
        }
        func refused(_ change: (inout AMQPConfiguration) -> Void, _ part: String) async throws {
            var configuration = configuration
            change(&configuration)
            try await withClient(configuration) { client in
                let error = await #expect(throws: AMQPError.self) { try await client.connect() }
                #expect(error?.code == .tlsFailed && error?.isRetryable == false)
                #expect(error?.message.contains(part) == true, "\(String(describing: error))")
            }
        }
        try await refused({ $0.tls?.caCertificateFile = nil }, "signed by")
        try await refused({ $0.tls?.caCertificateFile = "/no/such.pem" }, "/no/such.pem")
        try await refused({ $0.host = "127.0.0.1" }, "127.0.0.1")
        try await refused({ $0.tls?.clientKeyFile = key }, "client certificate")
        configuration.tls?.verifyPeer = false
        configuration.tls?.verifyHostname = false
        configuration.host = "127.0.0.1"
        try await withClient(configuration) { try await $0.connect() }
    }

    private func freePort() throws -> UInt16 {
        // The proxy binds one that is free, and gives it back.
        let proxy = try FaultProxy(to: 1)
        defer { proxy.close() }
        return proxy.port
    }
}
