import AMQPClient
import Testing

@Suite(.timeLimit(.minutes(4))) struct PublishTests {
    @Test func everyPropertyAndHeaderTypeComesBack() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                let message = AMQPMessage(
                    body: Array(0...255), contentType: "application/json", contentEncoding: "identity",
                    headers: [
                        "bool": true, "int8": .int8(-8), "uint8": .uint8(200), "int16": .int16(-3_000),
                        "uint16": .uint16(60_000), "int32": .int32(-70_000), "uint32": .uint32(4_000_000_000),
                        "int64": .int64(.min), "float": .float(1.5), "double": .double(-2.25),
                        "decimal": .decimal(scale: 2, value: 12_345), "string": "grüße 🐦 日本語", "empty": "",
                        "bytes": .bytes([0, 255, 128]), "timestamp": .timestamp(1_700_000_000), "void": .void,
                        "ключ": "значение",
                        "nested": ["list": [1, "two", ["three": [.void, true]]], "table": ["deep": ["er": 1.5]]],
                    ],
                    priority: 3, correlationID: "cörrelation", replyTo: "reply", expiration: "600000",
                    messageID: "id-1", timestamp: 1_234_567_890, type: "a.b", userID: nil, appID: "app")
                try await client.publish(message, to: "", routingKey: queue)
                let delivery = try #require(try await client.get(queue: queue))
                for (name, value) in message.headers { #expect(delivery.message.headers[name] == value, "\(name)") }
                var received = delivery.message
                // Added by quorum queues.
                #expect((received.headers.removeValue(forKey: "x-delivery-count")?.integer ?? 0) == 0)
                #expect(received == message)
                #expect(delivery.routingKey == queue)
                #expect(!delivery.redelivered && !delivery.isOversized)
                delivery.ack()
                try await eventually("queue empty") { try await client.get(queue: queue)?.text == nil }
            }
        }
    }

    @Test(arguments: [0, 1, 131_064, 131_065, 262_144, 3_000_000])
    func bodiesOfEverySizeComeBack(size: Int) async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                try await client.publish(AMQPMessage(body: body), to: "", routingKey: queue)
                let consumer = client.consume(queue: queue, prefetch: 1)
                let delivery = try #require(try await consumer.collect(1).first)
                #expect(delivery.message.body == body)
                delivery.ack()
            }
        }
    }

    @Test func onlyTheUnroutableOneOfABatchFails() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                let batch = (0..<300).map { index in
                    AMQPPublication(
                        text("\(index)"), to: "", routingKey: index % 3 == 1 ? "nowhere" : queue,
                        mandatory: index % 2 == 0 || index % 3 != 1)
                }
                let outcomes = await client.publish(batch)
                for (index, outcome) in outcomes.enumerated() {
                    guard case .failure(let error) = outcome else {
                        #expect(index % 3 != 1 || index % 2 != 0)
                        continue
                    }
                    #expect(index % 3 == 1 && index % 2 == 0)
                    #expect(error.code == .unroutable && error.replyCode == 312 && !error.isOutcomeUnknown)
                    #expect(error.message.contains("nowhere"))
                }
                try await eventually("200 ready") { try await client.queueStatus(queue)?.readyMessages == 200 }
            }
        }
    }

    @Test func concurrentReturnsReachTheirOwnPublish() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                await withTaskGroup(of: Void.self) { group in
                    for index in 0..<400 {
                        group.addTask {
                            do {
                                try await client.publish(
                                    text("\(index)"), to: "", routingKey: index % 2 == 0 ? queue : "nowhere")
                                #expect(index % 2 == 0)
                            } catch {
                                #expect(index % 2 == 1, "\(error)")
                            }
                        }
                    }
                }
            }
        }
    }

    @Test func aFullQueueRefusesThatVeryMessage() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client, ["x-max-length": 2, "x-overflow": "reject-publish"]) { queue in
                var outcomes: [Result<Void, AMQPError>] = []
                for index in 0..<4 {
                    outcomes += await client.publish([AMQPPublication(text("\(index)"), to: "", routingKey: queue)])
                }
                #expect((try? outcomes[0].get()) != nil)
                #expect((try? outcomes[1].get()) != nil)
                let error = #expect(throws: AMQPError.self) { try outcomes[3].get() }
                #expect(error?.code == .nacked && error?.isRetryable == true)
            }
        }
    }

    @Test func aMissingExchangeHurtsOnlyItsOwnPublishes() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                try await client.publish(text("before"), to: "", routingKey: queue)
                let outcomes = await client.publish([
                    AMQPPublication(text("bad"), to: "no.such.exchange", routingKey: "k"),
                    AMQPPublication(text("good"), to: "", routingKey: queue),
                    AMQPPublication(text("bad again"), to: "no.such.exchange", routingKey: "k"),
                    AMQPPublication(text("good again"), to: "", routingKey: queue),
                ])
                for index in [0, 2] {
                    let error = #expect(throws: AMQPError.self) { try outcomes[index].get() }
                    #expect(error?.code == .notFound && error?.isRetryable == false)
                    #expect(error?.message.contains("no.such.exchange") == true)
                }
                if case .failure(let error) = outcomes[1] { #expect(error.isOutcomeUnknown) }
                try outcomes[3].get()
                try await client.publish(text("after"), to: "", routingKey: queue)
            }
        }
    }

    @Test func whatAMQPCannotCarryIsRefusedBeforeItIsSent() async throws {
        var configuration = try await sharedBroker()
        configuration.maximumMessageBytes = 1_000
        try await withClient(configuration) { client in
            func refused(_ message: AMQPMessage, _ code: AMQPError.Code, routingKey: String = "k") async {
                let error = await #expect(throws: AMQPError.self) {
                    try await client.publish(message, to: "", routingKey: routingKey)
                }
                #expect(error?.code == code && error?.isOutcomeUnknown == false, "\(String(describing: error))")
            }
            await refused(AMQPMessage(body: Array(repeating: 0, count: 1_001)), .messageTooLarge)
            await refused(text("x"), .invalidMessage, routingKey: String(repeating: "k", count: 256))
            var message = text("x")
            message.expiration = "soon"
            await refused(message, .invalidMessage)
            message = text("x")
            message.userID = "somebody"
            await refused(message, .invalidMessage)
            message = text("x")
            message.headers = [String(repeating: "h", count: 300): 1]
            await refused(message, .invalidMessage)
            message.headers = ["h": .string(String(repeating: "v", count: 200_000))]
            await refused(message, .invalidMessage)
            message.headers = ["h": (0..<100).reduce(AMQPValue.void) { value, _ in .array([value]) }]
            await refused(message, .invalidMessage)
            // The connection is none the worse.
            await refused(text("x"), .unroutable)
        }
    }

    @Test func aCancelledTaskStopsWaiting() async throws {
        var configuration = try await sharedBroker()
        configuration.port = 1
        try await withClient(configuration) { client in
            let task = Task { try await client.publish(text("x"), to: "", routingKey: "k", timeout: .seconds(60)) }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
    }

    @Test func theTimeoutSaysWhy() async throws {
        var configuration = try await sharedBroker()
        configuration.port = 1
        try await withClient(configuration) { client in
            let error = await #expect(throws: AMQPError.self) {
                try await client.publish(text("x"), to: "", routingKey: "k", timeout: .seconds(3))
            }
            #expect(error?.code == .timeout && error?.isRetryable == true && error?.isOutcomeUnknown == false)
            #expect(error?.description.contains("refused") == true, "\(String(describing: error))")
        }
    }

    @Test func aClosedClientRefuses() async throws {
        let configuration = try await sharedBroker()
        try await withClient(configuration) { client in
            try await client.connect()
            #expect(client.isConnected)
            await client.close()
            #expect(!client.isConnected)
            let error = await #expect(throws: AMQPError.self) {
                try await client.publish(text("x"), to: "", routingKey: "k")
            }
            #expect(error?.code == .closed)
        }
    }
}
