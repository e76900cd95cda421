/// Finds the publish that a `basic.return` belongs to. AMQP returns the message, not its delivery tag.
///
/// Returns come in the order of the publishes, each before the confirmation of its own, so the
/// candidates are the outstanding mandatory publishes to the same exchange and routing key. Among
/// these the message decides; two equal ones are interchangeable, as exactly one was returned.
enum ReturnMatcher {
    /// 2 for the same message, 1 for the same body (a broker may have changed headers), 0 for neither;
    /// nil if it cannot be.
    static func score(_ publish: PendingPublish, exchange: String, routingKey: String, message: AMQPMessage) -> Int? {
        let publication = publish.publication
        guard publication.mandatory, publish.returned == nil, publication.exchange == exchange,
            publication.routingKey == routingKey
        else { return nil }
        if publication.message == message { return 2 }
        return publication.message.messageID == message.messageID && publication.message.body == message.body ? 1 : 0
    }

    static func mark(
        in window: inout ConfirmWindow<PendingPublish>, error: AMQPError, exchange: String, routingKey: String,
        message: AMQPMessage
    ) {
        var best: Int?
        window.forEach { publish in
            guard best != 2 else { return }
            if let score = score(publish, exchange: exchange, routingKey: routingKey, message: message) {
                best = max(best ?? 0, score)
            }
        }
        guard let best else { return }
        window.update { publish in
            guard score(publish, exchange: exchange, routingKey: routingKey, message: message) == best else {
                return false
            }
            publish.returned = error
            return true
        }
    }
}
