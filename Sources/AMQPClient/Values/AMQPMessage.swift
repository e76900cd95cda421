/// A body with the properties of AMQP's `basic` class.
package struct AMQPMessage: Hashable, Sendable {
    /// A message that is `persistent` survives a broker restart in a durable queue.
    package enum DeliveryMode: UInt8, Hashable, Sendable {
        case transient = 1
        case persistent = 2
    }

    package var body: [UInt8]
    package var contentType: String?
    package var contentEncoding: String?
    package var headers: [String: AMQPValue]
    package var deliveryMode: DeliveryMode
    /// 0…9 on a queue with `x-max-priority`.
    package var priority: UInt8?
    package var correlationID: String?
    package var replyTo: String?
    /// Milliseconds in the queue after which the broker drops or dead-letters the message, in decimal.
    package var expiration: String?
    package var messageID: String?
    /// Seconds since 1970.
    package var timestamp: UInt64?
    package var type: String?
    /// Must be the connection's own user if set: the broker checks.
    package var userID: String?
    package var appID: String?

    package init(
        body: [UInt8], contentType: String? = nil, contentEncoding: String? = nil,
        headers: [String: AMQPValue] = [:], deliveryMode: DeliveryMode = .persistent, priority: UInt8? = nil,
        correlationID: String? = nil, replyTo: String? = nil, expiration: String? = nil, messageID: String? = nil,
        timestamp: UInt64? = nil, type: String? = nil, userID: String? = nil, appID: String? = nil
    ) {
        self.body = body
        self.contentType = contentType
        self.contentEncoding = contentEncoding
        self.headers = headers
        self.deliveryMode = deliveryMode
        self.priority = priority
        self.correlationID = correlationID
        self.replyTo = replyTo
        self.expiration = expiration
        self.messageID = messageID
        self.timestamp = timestamp
        self.type = type
        self.userID = userID
        self.appID = appID
    }
}
