import AMQPClient
import Testing

@Suite(.timeLimit(.minutes(4))) struct TopologyTests {
    @Test func aTopologyIsDeclaredTwiceAndRoutes() async throws {
        try await withClient(sharedBroker()) { client in
            let exchange = unique("exchange")
            let dead = unique("dead")
            let queue = unique("queue")
            let topology = AMQPTopology(
                exchanges: [.init(exchange, kind: .topic), .init(dead, kind: .fanout)],
                queues: [
                    .init(
                        queue,
                        arguments: [
                            "x-queue-type": "quorum", "x-delivery-limit": 3, "x-dead-letter-exchange": .string(dead),
                            "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
                            "x-single-active-consumer": true,
                        ])
                ],
                bindings: [.init(queue: queue, to: exchange, routingKey: "a.*.c")])
            try await client.declare(topology)
            try await client.declare(topology)
            try await client.publish(text("x"), to: exchange, routingKey: "a.b.c")
            await #expect(throws: AMQPError.self) {
                try await client.publish(text("x"), to: exchange, routingKey: "a.b")
            }
            try await eventually("one ready") { try await client.queueStatus(queue)?.readyMessages == 1 }
            #expect(try await client.purge(queue: queue) == 1)
            try await client.deleteQueue(queue)
            try await client.deleteExchange(exchange)
            try await client.deleteExchange(dead)
            #expect(try await client.queueStatus(queue) == nil)
            try await client.deleteQueue(queue)
        }
    }

    @Test func aMismatchIsReadableAndHurtsNothingElse() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client, ["x-queue-type": "classic"]) { queue in
                let consumer = client.consume(queue: queue, prefetch: 10)
                let error = await #expect(throws: AMQPError.self) {
                    try await client.declare(
                        AMQPTopology(queues: [.init(queue, arguments: ["x-queue-type": "quorum"])]))
                }
                #expect(error?.code == .topologyMismatch && error?.isRetryable == false)
                for part in [queue, "x-queue-type", "'quorum'", "'classic'", "delete"] {
                    #expect(error?.message.contains(part) == true, "\(String(describing: error))")
                }
                let second = await #expect(throws: AMQPError.self) {
                    try await client.declare(
                        AMQPTopology(queues: [.init(queue, arguments: ["x-queue-type": "classic", "x-max-length": 5])]))
                }
                #expect(
                    second?.message.contains("'x-max-length' is none on the broker, wanted '5'") == true,
                    "\(String(describing: second))")
                try await client.publish(text("still here"), to: "", routingKey: queue)
                #expect(try await consumer.collect(1).first?.text == "still here")
            }
        }
    }

    @Test func aBindingToNothingNamesBothEnds() async throws {
        try await withClient(sharedBroker()) { client in
            let error = await #expect(throws: AMQPError.self) {
                try await client.declare(AMQPTopology(bindings: [.init(queue: "no.q", to: "no.x", routingKey: "k")]))
            }
            #expect(error?.code == .notFound)
            #expect(error?.message.contains("no.q") == true && error?.message.contains("no.x") == true)
        }
    }

    @Test func statusCountsWhatIsReady() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                _ = await client.publish((0..<5).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) })
                try await eventually("five ready") {
                    try await client.queueStatus(queue) == AMQPQueueStatus(readyMessages: 5, consumers: 0)
                }
                let consumer = client.consume(queue: queue, prefetch: 2)
                _ = try await consumer.collect(2)
                try await eventually("two taken") {
                    try await client.queueStatus(queue) == AMQPQueueStatus(readyMessages: 3, consumers: 1)
                }
            }
        }
    }
}
