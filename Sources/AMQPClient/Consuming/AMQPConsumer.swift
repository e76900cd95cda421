/// The deliveries of one queue. Several tasks may take from it; each delivery goes to one of them.
///
/// It survives reconnects: it subscribes again by itself, and what was buffered or unsettled comes
/// again, marked `redelivered`. It ends, after its buffer, when it is cancelled or the client is
/// closed, and throws when the broker ends it (`consumerCancelled`, `notFound`, `accessRefused`,
/// `resourceLocked`). Dropping the consumer cancels it and gives back what is buffered.
package final class AMQPConsumer: AsyncSequence, Sendable {
    package typealias Element = AMQPDelivery

    package let queue: String
    package let consumerTag: String
    private let core: ConsumerCore
    private let subscriber: AMQPSubscriber

    init(core: ConsumerCore, subscriber: AMQPSubscriber) {
        self.queue = core.queue
        self.consumerTag = core.consumerTag
        self.core = core
        self.subscriber = subscriber
    }

    deinit {
        // Nothing can await here, hence the task.
        Task { [subscriber, core] in
            await subscriber.cancel(core, requeueBuffered: true)
        }
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        let consumer: AMQPConsumer

        init(consumer: AMQPConsumer) {
            self.consumer = consumer
        }

        package mutating func next() async throws -> AMQPDelivery? {
            try await consumer.nextBatch(max: 1).first
        }
    }

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(consumer: self)
    }

    /// Waits for at least one delivery and takes all that are buffered, up to `max`.
    /// - Returns: empty once the consumer is cancelled, or the client closed, and the buffer drained.
    /// - Throws: `AMQPError`; `CancellationError` if the waiting task is cancelled.
    package func nextBatch(max: Int) async throws -> [AMQPDelivery] {
        try await core.next(max: max)
    }

    /// Stops new deliveries; returns when the broker has agreed or the connection is gone.
    /// - Parameter requeueBuffered: if true, what the broker sent and nobody took yet is given back to
    ///   the queue; if false it still comes out of the sequence. What was taken can be settled in
    ///   either case: the channel closes after the last settlement.
    package func cancel(requeueBuffered: Bool = false) async {
        await subscriber.cancel(core, requeueBuffered: requeueBuffered)
    }

    /// Acknowledges many at once; those of other channels go their own way.
    package func ack(_ deliveries: [AMQPDelivery]) {
        core.settlements.add(
            deliveries.filter { $0.settlements === core.settlements }
                .map { Settlement(epoch: $0.epoch, tag: $0.deliveryTag, verdict: .ack) })
        for delivery in deliveries where delivery.settlements !== core.settlements { delivery.ack() }
    }

    /// Deliveries that are buffered and not yet taken.
    package var bufferedCount: Int { core.bufferedCount }
}
