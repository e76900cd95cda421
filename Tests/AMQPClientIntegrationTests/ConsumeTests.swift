import AMQPClient
import Synchronization
import TestServers
import Testing

@Suite(.timeLimit(.minutes(4))) struct ConsumeTests {
    @Test func prefetchBoundsWhatIsUnsettled() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                _ = await client.publish((0..<20).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) })
                let consumer = client.consume(queue: queue, prefetch: 5)
                let first = try await consumer.collect(5)
                #expect(first.map(\.text) == ["0", "1", "2", "3", "4"])
                try await eventually("fifteen stay") { try await client.queueStatus(queue)?.readyMessages == 15 }
                #expect(consumer.bufferedCount == 0)
                consumer.ack(first)
                #expect(try await consumer.collect(5).map(\.text) == ["5", "6", "7", "8", "9"])
            }
        }
    }

    @Test func eachSettlementDoesWhatItSays() async throws {
        try await withClient(sharedBroker()) { client in
            let dead = unique("dead")
            try await client.declare(AMQPTopology(queues: [.init(dead)]))
            try await withQueue(
                client,
                [
                    "x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": .string(dead),
                    "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-delivery-limit": 5,
                ]
            ) { queue in
                _ = await client.publish((0..<4).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) })
                let consumer = client.consume(queue: queue, prefetch: 10)
                let four = try await consumer.collect(4)
                four[0].ack()
                four[1].nack(requeue: true)
                four[2].reject(requeue: false)
                four[3].ack()
                let again = try #require(try await consumer.collect(1).first)
                #expect(again.text == "1" && again.redelivered && again.deliveryCount == 1)
                again.ack()
                let buried = try #require(try await client.consume(queue: dead, prefetch: 1).collect(1).first)
                #expect(buried.text == "2")
                let death = buried.message.headers["x-death"]?.array?.first?.table
                #expect(death?["queue"]?.string == queue && death?["reason"]?.string == "rejected")
                buried.ack()
                try await eventually("all settled") {
                    await consumer.cancel()
                    return try await client.queueStatus(queue)?.readyMessages == 0
                }
            }
            try await client.deleteQueue(dead)
        }
    }

    @Test func settlingTwiceIsDroppedAndCounted() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                _ = await client.publish((0..<3).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) })
                let consumer = client.consume(queue: queue, prefetch: 10)
                let three = try await consumer.collect(3)
                three[2].ackAllUpToHere()
                three[0].ack()
                three[1].reject(requeue: true)
                try await eventually("dropped") { client.droppedSettlements == 2 }
                try await client.publish(text("next"), to: "", routingKey: queue)
                #expect(try await consumer.collect(1).first?.text == "next")
            }
        }
    }

    @Test func cancellingDrainsOrGivesBack() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                _ = await client.publish((0..<6).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) })
                let first = client.consume(queue: queue, prefetch: 6)
                let taken = try await first.collect(2)
                try await eventually("four buffered") { first.bufferedCount == 4 }
                await first.cancel(requeueBuffered: true)
                #expect(try await first.nextBatch(max: 10).isEmpty)
                try await eventually("four back") { try await client.queueStatus(queue)?.readyMessages == 4 }
                // What was taken can still be settled.
                first.ack(taken)
                let second = client.consume(queue: queue, prefetch: 6)
                try await eventually("four buffered") { second.bufferedCount == 4 }
                await second.cancel()
                let rest = try await second.nextBatch(max: 10)
                #expect(Set(rest.map(\.text)) == ["2", "3", "4", "5"])
                second.ack(rest)
                #expect(try await second.nextBatch(max: 10).isEmpty)
                try await eventually("none left") {
                    try await client.queueStatus(queue) == AMQPQueueStatus(readyMessages: 0, consumers: 0)
                }
            }
            // The broker requeues what an ended channel had; nothing may have come back.
            #expect(client.droppedSettlements == 0)
        }
    }

    @Test func droppingAConsumerGivesBackItsBuffer() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                _ = await client.publish((0..<3).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) })
                for try await delivery in client.consume(queue: queue, prefetch: 3) {
                    delivery.ack()
                    break
                }
                try await eventually("two back") {
                    try await client.queueStatus(queue) == AMQPQueueStatus(readyMessages: 2, consumers: 0)
                }
            }
        }
    }

    @Test func deletingTheQueueEndsItsConsumerWithAnError() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                try await client.publish(text("last"), to: "", routingKey: queue)
                let consumer = client.consume(queue: queue, prefetch: 1)
                let last = try await consumer.collect(1)
                try await client.deleteQueue(queue)
                let error = await #expect(throws: AMQPError.self) { try await consumer.nextBatch(max: 1) }
                #expect(error?.code == .consumerCancelled)
                #expect(error?.message.contains(queue) == true)
                // A late settlement is nothing to the connection.
                last[0].ack()
                #expect(try await client.queueStatus(queue) == nil)
            }
        }
    }

    @Test func consumingFromNothingIsAnError() async throws {
        try await withClient(sharedBroker()) { client in
            let error = await #expect(throws: AMQPError.self) {
                try await client.consume(queue: "no.such.queue", prefetch: 1).nextBatch(max: 1)
            }
            #expect(error?.code == .notFound && error?.message.contains("no.such.queue") == true)
        }
    }

    @Test func anExclusiveConsumerKeepsOthersOut() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client, ["x-queue-type": "classic"]) { queue in
                let first = client.consume(queue: queue, prefetch: 1, exclusive: true)
                try await eventually("one consumer") { try await client.queueStatus(queue)?.consumers == 1 }
                let error = await #expect(throws: AMQPError.self) {
                    try await client.consume(queue: queue, prefetch: 1).nextBatch(max: 1)
                }
                #expect(error?.code == .accessRefused)
                await first.cancel()
            }
        }
    }

    private final class Seen: Sendable {
        let texts = Mutex(Set<String>())
    }

    @Test func severalTasksShareAConsumer() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                let consumer = client.consume(queue: queue, prefetch: 50)
                let seen = Seen()
                async let received = withThrowingTaskGroup(of: [String].self) { group in
                    for _ in 0..<8 {
                        group.addTask {
                            var texts: [String] = []
                            for try await delivery in consumer {
                                texts.append(delivery.text)
                                _ = seen.texts.withLock { $0.insert(delivery.text) }
                                delivery.ack()
                            }
                            return texts
                        }
                    }
                    return try await group.reduce(into: [String]()) { $0 += $1 }
                }
                _ = await client.publish((0..<500).map { AMQPPublication(text("\($0)"), to: "", routingKey: queue) })
                try await eventually("all have come") { seen.texts.withLock { $0.count } == 500 }
                await consumer.cancel()
                #expect(try await received.count >= 500)
            }
        }
    }

    @Test func aCancelledTaskStopsWaitingAndTheConsumerGoesOn() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                let consumer = client.consume(queue: queue, prefetch: 1)
                let task = Task { try await consumer.nextBatch(max: 1) }
                task.cancel()
                await #expect(throws: CancellationError.self) { try await task.value }
                try await client.publish(text("x"), to: "", routingKey: queue)
                #expect(try await consumer.collect(1).first?.text == "x")
            }
        }
    }

    @Test func anOversizedMessageIsDeadLetteredInBoundedMemory() async throws {
        let broker = try await sharedBroker()
        var small = broker
        small.maximumMessageBytes = 1 << 20
        var large = broker
        large.maximumMessageBytes = 64 << 20
        try await withClient(large) { producer in
            try await withClient(small) { client in
                let dead = unique("dead")
                try await client.declare(AMQPTopology(queues: [.init(dead)]))
                try await withQueue(
                    client, ["x-dead-letter-exchange": "", "x-dead-letter-routing-key": .string(dead)]
                ) { queue in
                    var message = AMQPMessage(body: [UInt8](repeating: 7, count: 20_000_000), messageID: "huge")
                    message.headers = ["kind": "event"]
                    try await producer.publish(message, to: "", routingKey: queue)
                    try await producer.publish(text("fits"), to: "", routingKey: queue)
                    let consumer = client.consume(queue: queue, prefetch: 10)
                    let both = try await consumer.collect(2)
                    #expect(both[0].isOversized && both[0].bodySize == 20_000_000)
                    #expect(both[0].message.body == [UInt8](repeating: 7, count: 65_536))
                    #expect(both[0].message.messageID == "huge" && both[0].message.headers["kind"] == "event")
                    #expect(both[1].text == "fits" && !both[1].isOversized)
                    // The client has settled it; this does nothing.
                    consumer.ack(both)
                    #expect(client.oversizedDeliveries == 1)
                    let whole = try #require(try await producer.consume(queue: dead, prefetch: 1).collect(1).first)
                    #expect(whole.message.body.count == 20_000_000)
                    whole.ack()
                    try await producer.publish(message, to: "", routingKey: queue)
                    await consumer.cancel(requeueBuffered: true)
                }
                try await client.deleteQueue(dead)
            }
        }
    }

    @Test func getTakesOneMessage() async throws {
        try await withClient(sharedBroker()) { client in
            try await withQueue(client) { queue in
                #expect(try await client.get(queue: queue)?.text == nil)
                try await client.publish(text("x"), to: "", routingKey: queue)
                let first = try #require(try await client.get(queue: queue))
                first.nack(requeue: true)
                try await eventually("back") { try await client.queueStatus(queue)?.readyMessages == 1 }
                let again = try #require(try await client.get(queue: queue))
                #expect(again.redelivered && again.deliveryCount == 1)
                again.ack()
                await #expect(throws: AMQPError.self) { try await client.get(queue: "no.such.queue") }
                #expect(try await client.get(queue: queue)?.text == nil)
            }
        }
    }
}
