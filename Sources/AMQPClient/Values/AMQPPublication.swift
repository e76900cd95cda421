/// A message and where it goes.
package struct AMQPPublication: Sendable {
    package var message: AMQPMessage
    /// The empty name is the default exchange, which routes by queue name.
    package var exchange: String
    package var routingKey: String
    /// If true, a message that reaches no queue is an error of this publish.
    package var mandatory: Bool

    package init(_ message: AMQPMessage, to exchange: String, routingKey: String, mandatory: Bool = true) {
        self.message = message
        self.exchange = exchange
        self.routingKey = routingKey
        self.mandatory = mandatory
    }
}
