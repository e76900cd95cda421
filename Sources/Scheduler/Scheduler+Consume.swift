import AMQPClient
import Broker
import Logging

extension Scheduler {
    /// A few messages may happen to come at the same time.
    private static let queueWorthLingering = 5

    /// Takes batches from a queue until the surrounding task is cancelled, and subscribes again whenever the broker
    /// ends the subscription.
    /// - Parameter handle: settles the batch, or leaves it unsettled if it was cancelled.
    func consume(
        _ what: String, max: Int, from subscribe: @Sendable () -> AMQPConsumer,
        handle: @Sendable ([AMQPDelivery]) async -> Void
    ) async {
        while !Task.isCancelled {
            let consumer = subscribe()
            do {
                while true {
                    // Much had come while the last batch was stored, so much is coming: what is stored together costs
                    // a fraction of what is stored one by one. Without such a queue nothing waits.
                    if consumer.bufferedCount >= Self.queueWorthLingering, consumer.bufferedCount < max / 2 {
                        try await Task.sleep(for: configuration.linger)
                    }
                    let batch = try await consumer.nextBatch(max: max)
                    // Empty means closed: by this client's end or by somebody's hand.
                    guard !batch.isEmpty else { break }
                    await handle(batch)
                }
            } catch is CancellationError {
                // Leaves the loop below.
            } catch {
                metrics.failed(what)
                logger.warning("\(what): the subscription ended; subscribing again", metadata: ["error": "\(error)"])
            }
            await consumer.cancel(requeueBuffered: true)
            do {
                try await Task.sleep(for: .seconds(1))
                // The queue itself may be gone.
                try await broker.declare()
            } catch is CancellationError {
                return
            } catch {
                logger.warning("\(what): queues not declared", metadata: ["error": "\(error)"])
            }
        }
    }
}

extension [AMQPDelivery] {
    /// Bytes that one transaction takes, at most, unless a single message has more: PostgreSQL refuses messages of
    /// 1 GiB, and a batch that is slow to store is stored again and again.
    private static var partBytes: Int { 8 << 20 }

    /// In order, cut where a part would have too many bytes.
    func parts() -> [ArraySlice<AMQPDelivery>] {
        var parts: [ArraySlice<AMQPDelivery>] = []
        var start = startIndex
        var bytes = 0
        for index in indices {
            let size = self[index].message.body.count
            if bytes + size > Self.partBytes, index > start {
                parts.append(self[start..<index])
                start = index
                bytes = 0
            }
            bytes += size
        }
        if start < endIndex { parts.append(self[start...]) }
        return parts
    }
}
