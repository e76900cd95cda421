import AMQPClient
import Synchronization
import TestServers
import Testing

@Suite(.timeLimit(.minutes(4))) struct ReconnectTests {
    private func withProxy<Value: Sendable>(
        _ change: (inout AMQPConfiguration) -> Void = { _ in },
        _ body: (AMQPConfiguration, FaultProxy) async throws -> Value
    ) async throws -> Value {
        var configuration = try await sharedBroker()
        let proxy = try FaultProxy(to: configuration.port)
        defer { proxy.close() }
        configuration.host = "127.0.0.1"
        configuration.port = proxy.port
        change(&configuration)
        return try await body(configuration, proxy)
    }

    @Test func aForcedCloseIsSurvived() async throws {
        let (url, managementURL) = try await TestServers.shared.rabbitMQ()
        let management = try ManagementAPI(url: managementURL)
        let name = unique("connection")
        try await withClient(quick(AMQPConfiguration(url: url)), name: name) { client in
            try await withQueue(client) { queue in
                let events = client.events
                let consumer = client.consume(queue: queue, prefetch: 10)
                try await client.publish(text("before"), to: "", routingKey: queue)
                let stale = try await consumer.collect(1)
                try await eventually("both are listed") { try management.connections(named: name).count == 2 }
                for connection in try management.connections(named: name) { try management.closeConnection(connection) }
                var seen: [AMQPConnectionEvent] = []
                for await event in events {
                    seen.append(event)
                    // One may be up again before the other one is closed.
                    if event == .connected, Self.reasons(seen).count == 2 { break }
                }
                let reasons = Self.reasons(seen)
                #expect(reasons.count == 2 && reasons.allSatisfy { $0.contains("CONNECTION_FORCED") }, "\(seen)")
                // The old incarnation's delivery comes again; settling the old one is dropped.
                stale[0].ack()
                let again = try await consumer.collect(1)
                #expect(again[0].text == "before" && again[0].redelivered)
                try await eventually("the old delivery's settling is dropped") { client.droppedSettlements == 1 }
                again[0].ack()
                try await client.publish(text("after"), to: "", routingKey: queue)
                #expect(try await consumer.collect(1).first?.text == "after")
                #expect(client.reconnects == 2)
            }
        }
    }

    private static func reasons(_ events: [AMQPConnectionEvent]) -> [String] {
        events.compactMap { if case .disconnected(let reason) = $0 { reason } else { nil } }
    }

    private final class Progress: Sendable {
        let confirmed = Mutex<Set<String>>([])
        let isDone = Atomic<Bool>(false)
    }

    @Test func publishesLoseNothingWhenTheNetworkBreaks() async throws {
        try await withProxy { configuration, proxy in
            try await withClient(configuration) { client in
                try await withQueue(client) { queue in
                    let progress = Progress()
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            for _ in 0..<5 {
                                let before = progress.confirmed.withLock(\.count)
                                try await eventually("progress") { progress.confirmed.withLock(\.count) > before + 200 }
                                proxy.cut()
                            }
                            progress.isDone.store(true, ordering: .releasing)
                        }
                        for publisher in 0..<16 {
                            group.addTask {
                                var number = 0
                                while !progress.isDone.load(ordering: .acquiring) {
                                    let name = "\(publisher)-\(number)"
                                    do {
                                        try await client.publish(text(name), to: "", routingKey: queue)
                                        progress.confirmed.withLock { _ = $0.insert(name) }
                                        number += 1
                                    } catch let error as AMQPError {
                                        #expect(error.isRetryable, "\(error)")
                                    }
                                }
                            }
                        }
                        try await group.waitForAll()
                    }
                    let consumer = client.consume(queue: queue, prefetch: 500)
                    var missing = progress.confirmed.withLock { $0 }
                    while !missing.isEmpty {
                        let batch = try await consumer.nextBatch(max: 500)
                        for delivery in batch { missing.remove(delivery.text) }
                        consumer.ack(batch)
                    }
                    #expect(client.reconnects >= 5)
                }
            }
        }
    }

    @Test func aConsumerSeesEveryMessageThroughBreaks() async throws {
        try await withProxy { configuration, proxy in
            try await withClient(sharedBroker()) { producer in
                try await withQueue(producer) { queue in
                    try await withClient(configuration) { client in
                        let consumer = client.consume(queue: queue, prefetch: 20)
                        let batch = (0..<2_000).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) }
                        for outcome in await producer.publish(batch) { try outcome.get() }
                        var seen: Set<String> = []
                        var next = 300
                        while seen.count < 2_000 {
                            let deliveries = try await consumer.nextBatch(max: 50)
                            for delivery in deliveries { seen.insert(delivery.text) }
                            consumer.ack(deliveries)
                            if seen.count >= next {
                                next += 300
                                proxy.cut()
                            }
                        }
                        try await eventually("all settled") {
                            await consumer.cancel(requeueBuffered: true)
                            return try await producer.queueStatus(queue)
                                == AMQPQueueStatus(readyMessages: 0, consumers: 0)
                        }
                    }
                }
            }
        }
    }

    @Test func aSilentBrokerIsNoticedByItsHeartbeat() async throws {
        try await withProxy({ $0.heartbeatSeconds = 2 }) { configuration, proxy in
            try await withClient(configuration) { client in
                try await client.connect()
                // Idle for several intervals: heartbeats keep it up.
                try await Task.sleep(for: .seconds(8))
                #expect(client.isConnected && client.reconnects == 0)
                let events = client.events
                let start = ContinuousClock.now
                proxy.freeze()
                var reasons: [String] = []
                for await event in events {
                    if case .disconnected(let reason) = event { reasons.append(reason) }
                    if reasons.count == 2 { break }
                }
                #expect(reasons.allSatisfy { $0.contains("silent") }, "\(reasons)")
                #expect(ContinuousClock.now - start < .seconds(30))
                let error = await #expect(throws: AMQPError.self) {
                    try await client.publish(text("x"), to: "", routingKey: "nowhere", timeout: .seconds(1))
                }
                #expect(error?.isRetryable == true)
                proxy.thaw()
                try await eventually("up again") { client.isConnected }
            }
        }
    }

    @Test func anUnansweredPublishEndsAtItsTimeoutWithUnknownOutcome() async throws {
        try await withProxy { configuration, proxy in
            try await withClient(configuration) { client in
                try await withQueue(client) { queue in
                    try await client.publish(text("first"), to: "", routingKey: queue)
                    proxy.freeze()
                    let error = await #expect(throws: AMQPError.self) {
                        try await client.publish(text("x"), to: "", routingKey: queue, timeout: .milliseconds(500))
                    }
                    #expect(error?.code == .timeout && error?.isOutcomeUnknown == true)
                    proxy.thaw()
                    // The window still counts right.
                    try await client.publish(text("y"), to: "", routingKey: queue)
                    #expect(client.reconnects == 0)
                }
            }
        }
    }

    @Test func closeDoesNotHangOnASilentBroker() async throws {
        try await withProxy { configuration, proxy in
            try await withClient(configuration) { client in
                try await client.connect()
                proxy.freeze()
                let start = ContinuousClock.now
                await client.close()
                #expect(ContinuousClock.now - start < .seconds(20))
            }
        }
    }

    @Test func aBrokerThatNeverGreetsIsATimeout() async throws {
        try await withProxy({ $0.connectTimeout = .milliseconds(600) }) { configuration, proxy in
            proxy.freeze()
            try await withClient(configuration) { client in
                let error = await #expect(throws: AMQPError.self) { try await client.connect(timeout: .seconds(1)) }
                #expect(error?.code == .timeout && error?.isRetryable == true, "\(String(describing: error))")
                proxy.thaw()
                try await client.connect(timeout: .seconds(30))
            }
        }
    }

    @Test func whatNoRetryCanMendIsThrownAtOnce() async throws {
        var configuration = try await sharedBroker()
        configuration.password = "s3cret-wrong"
        try await withClient(configuration) { client in
            let error = await #expect(throws: AMQPError.self) { try await client.connect() }
            #expect(error?.code == .accessRefused && error?.isRetryable == false && error?.replyCode == 403)
            #expect(error?.description.contains("s3cret") == false)
            await #expect(throws: AMQPError.self) { try await client.queueStatus("q") }
        }
        configuration = try await sharedBroker()
        configuration.virtualHost = "no such host"
        try await withClient(configuration) { client in
            let error = await #expect(throws: AMQPError.self) { try await client.connect() }
            #expect(error?.code == .virtualHostNotFound && error?.message.contains("no such host") == true)
        }
        configuration = try await sharedBroker()
        // No name, so that no name server is asked.
        configuration.host = "no..such.host"
        try await withClient(configuration) { client in
            let error = await #expect(throws: AMQPError.self) { try await client.connect(timeout: .seconds(10)) }
            #expect(error?.code == .hostNotFound && error?.message.contains("no..such.host") == true)
        }
    }
}
