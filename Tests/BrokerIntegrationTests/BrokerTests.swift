import AMQPClient
import Broker
import Logging
import Pipeline
import TestFleet
import Testing

/// The fleet's queues on a real broker.
@Suite struct BrokerTests {
    private func withBroker(_ body: (Broker, VirtualHost) async throws -> Void) async throws {
        let host = try await VirtualHost.make()
        let broker = Broker(client: try host.client("test"), logger: Logger(label: "test"))
        do {
            try await broker.declare()
            try await body(broker, host)
            await broker.client.close()
            await host.remove()
        } catch {
            await broker.client.close()
            await host.remove()
            throw error
        }
    }

    private static let task = Broker.Task(
        id: TaskID(run: RunID("r1"), stage: "a"), pool: "p", attempt: 3, payload: payload, traceparent: "00-ab",
        tracestate: "k=\"v\"")

    private static let payload = """
        {"run":"r1","pipeline":"x","stage":"a","kind":"noop","pool":"p","timeoutSeconds":5,"ackPolicy":"on-result",\
        "cache":false,"parameters":{"text":"ü\\u0000\\n😀"},"inputs":{}}
        """

    @Test(.timeLimit(.minutes(3)))
    func declaringTwiceAndFromTwoClientsIsFine() async throws {
        try await withBroker { broker, host in
            try await broker.declare()
            try await broker.declare(pool: "p")
            try await broker.declare(pool: "p")
            try await broker.redeclare(pool: "p")
            let other = Broker(client: try host.client("other"), logger: Logger(label: "test"))
            try await other.declare()
            try await other.declare(pool: "p")
            #expect(try await other.waitingTasks(pool: "p") == 0)
            #expect(try await other.waitingTasks(pool: "none") == nil)
            await other.client.close()
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aTaskArrivesAsItWasSent() async throws {
        try await withBroker { broker, _ in
            try await broker.declare(pool: "p")
            #expect(await broker.publish([Self.task], time: .now, timeout: .seconds(10)).isEmpty)
            let delivery = try #require(try await broker.tasks(pool: "p", prefetch: 1).nextBatch(max: 1).first)
            let event = try Envelope.decode(TaskPayload.self, from: delivery.message, types: [MessageType.task])
            #expect(event.attempt == 3)
            #expect(event.traceparent == "00-ab")
            #expect(event.tracestate == "k=\"v\"")
            #expect(event.data?.parameters == ["text": "ü\0\n😀"])
            #expect(delivery.message.contentType == Envelope.contentType)
            #expect(delivery.message.deliveryMode == .persistent)
            delivery.ack()
        }
    }

    /// The broker ends the whole connection when a quorum queue's consumer is cancelled before it stands; what was
    /// taken on that connection would come again.
    @Test(.timeLimit(.minutes(3)))
    func cancellingRightAfterSubscribingKeepsTheConnection() async throws {
        try await withBroker { broker, _ in
            try await broker.declare(pool: "p")
            #expect(await broker.publish([Self.task], time: .now, timeout: .seconds(10)).isEmpty)
            let delivery = try #require(try await broker.tasks(pool: "p", prefetch: 1).nextBatch(max: 1).first)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<4 {
                    group.addTask {
                        for step in 0..<100 {
                            let consumer = broker.tasks(pool: "p", prefetch: 1)
                            // Somewhere between asking for the subscription and having it.
                            try await Task.sleep(for: .microseconds(lane * 10 + step * 40))
                            await consumer.cancel(requeueBuffered: true)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await broker.waitingTasks(pool: "p") == 0)
            delivery.ack()
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aTaskForAPoolWithoutAQueueComesBack() async throws {
        try await withBroker { broker, _ in
            let unsent = await broker.publish([Self.task], time: .now, timeout: .seconds(10))
            #expect(unsent.map(\.task) == [Self.task.id])
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aResultAndAStartArrive() async throws {
        try await withBroker { broker, _ in
            let result = TaskResult(
                task: Self.task.id, attempt: 1, token: ClaimToken("t"), worker: "w", outcome: .failed,
                failure: Failure(class: .timeout, code: "c", message: "m", details: ["a": [1, 2.5, nil]]),
                startedAt: Timestamp(microseconds: 1_234_567), finishedAt: Timestamp(microseconds: 2_234_567))
            let started = TaskStarted(
                task: Self.task.id, attempt: 1, token: ClaimToken("t"), worker: "w", startedAt: result.startedAt)
            try await broker.publish(started, traceparent: "00-ab", tracestate: "k=\"v\"", timeout: .seconds(10))
            let report = Broker.Report(result, traceparent: nil, tracestate: nil)
            try await broker.publish([report], timeout: .seconds(10))
            try await broker.publish([report, report, report], timeout: .seconds(10))
            let consumer = broker.results(prefetch: 10)
            var messages: [AMQPMessage] = []
            while messages.count < 3 {
                for delivery in try await consumer.nextBatch(max: 3) {
                    messages.append(delivery.message)
                    delivery.ack()
                }
            }
            #expect(
                messages.map(Envelope.type(of:))
                    == [MessageType.taskStarted, MessageType.taskResult, MessageType.taskResult])
            let first = try Envelope.decode(TaskStarted.self, from: messages[0], types: [MessageType.taskStarted])
            #expect(first.data == started)
            #expect(first.traceparent == "00-ab" && first.tracestate == "k=\"v\"")
            let second = try Envelope.decode(TaskResult.self, from: messages[1], types: [MessageType.taskResult])
            #expect(second.data == result)
            let counts = try messages.dropFirst().map { message in
                let events = try Envelope.decodeAll(TaskResult.self, from: message, types: [MessageType.taskResult])
                for event in events { #expect(try event.get().data == result) }
                return events.count
            }
            #expect(counts == [1, 3])
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func whatIsRejectedArrivesInTheDeadLettersWithItsBytes() async throws {
        try await withBroker { broker, _ in
            try await broker.client.publish(
                AMQPMessage(body: [0, 1, 255], headers: ["k": "v"]), to: Topology.events, routingKey: "x",
                timeout: .seconds(10))
            let delivery = try #require(try await broker.events(prefetch: 1).nextBatch(max: 1).first)
            delivery.reject(requeue: false)
            let letter = try #require(try await broker.deadLetters(prefetch: 1).nextBatch(max: 1).first)
            #expect(letter.message.body == [0, 1, 255])
            #expect(letter.message.headers["k"]?.string == "v")
            #expect(letter.message.headers["x-first-death-queue"]?.string == Topology.eventsQueue)
            #expect(letter.message.headers["x-first-death-reason"]?.string == "rejected")
            letter.ack()
        }
    }
}
