/// What a passive declaration says of a queue.
package struct AMQPQueueStatus: Hashable, Sendable {
    /// Messages ready for delivery; those delivered and not yet settled do not count.
    package var readyMessages: Int
    package var consumers: Int

    package init(readyMessages: Int, consumers: Int) {
        self.readyMessages = readyMessages
        self.consumers = consumers
    }
}
