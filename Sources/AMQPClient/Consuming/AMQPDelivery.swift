/// A message taken from a queue, to be settled once: acknowledged, or given back, or rejected.
///
/// Settling never waits and never fails: it is queued for the connection's thread, which sends as few
/// frames as it can. A delivery of a channel that is gone (after a reconnect) belongs to the broker
/// again, so settling it then is dropped and counted, as is settling twice.
package struct AMQPDelivery: Sendable {
    let content: Content
    let settlements: SettlementInbox
    let epoch: UInt64

    /// In a class: a delivery moves through buffers and tasks, and one reference is cheaper than
    /// fourteen strings.
    final class Content: Sendable {
        let message: AMQPMessage
        let exchange: String
        let routingKey: String
        let consumerTag: String
        let deliveryTag: UInt64
        let redelivered: Bool
        let bodySize: UInt64

        init(
            message: AMQPMessage, exchange: String, routingKey: String, consumerTag: String, deliveryTag: UInt64,
            redelivered: Bool, bodySize: UInt64
        ) {
            self.message = message
            self.exchange = exchange
            self.routingKey = routingKey
            self.consumerTag = consumerTag
            self.deliveryTag = deliveryTag
            self.redelivered = redelivered
            self.bodySize = bodySize
        }
    }

    package var message: AMQPMessage { content.message }
    package var exchange: String { content.exchange }
    package var routingKey: String { content.routingKey }
    package var consumerTag: String { content.consumerTag }
    package var deliveryTag: UInt64 { content.deliveryTag }
    /// True if the broker sent it to a consumer before, which may or may not have worked on it.
    package var redelivered: Bool { content.redelivered }
    /// Bytes of the whole body, also if `message.body` is truncated.
    package var bodySize: UInt64 { content.bodySize }
    /// True for a message above `maximumMessageBytes`: `message.body` holds only its beginning, and
    /// the client has rejected it without requeue (dead-lettered it, if the queue has an exchange for
    /// that). Settling it again does nothing.
    package var isOversized: Bool { content.bodySize > UInt64(content.message.body.count) }
    /// Deliveries before this one, as a quorum queue counts them (`x-delivery-count`); 0 elsewhere.
    package var deliveryCount: Int { content.message.headers["x-delivery-count"]?.integer ?? 0 }

    /// Done with it: the broker forgets the message.
    package func ack() {
        settle(.ack)
    }

    /// Acknowledges this delivery and all earlier ones of the same channel that are not settled yet.
    package func ackAllUpToHere() {
        settle(.ackUpTo)
    }

    /// Not done. With `requeue` it is delivered again, at once; else dead-lettered or dropped.
    package func nack(requeue: Bool) {
        settle(requeue ? .requeue : .discard)
    }

    /// The same as `nack`; RabbitMQ treats both alike.
    package func reject(requeue: Bool) {
        settle(requeue ? .requeue : .discard)
    }

    private func settle(_ verdict: Settlement.Verdict) {
        settlements.add(Settlement(epoch: epoch, tag: content.deliveryTag, verdict: verdict))
    }
}
