import CRabbitMQ

/// Puts a method, a header frame and body frames of one channel together again.
struct ContentAssembler {
    /// Kept of a body that is larger than the limit.
    static let oversizedPrefix = 65_536

    /// A method that announces content.
    enum Announcement {
        case delivery(
            consumerTag: String, deliveryTag: UInt64, redelivered: Bool, exchange: String, routingKey: String)
        case got(deliveryTag: UInt64, redelivered: Bool, exchange: String, routingKey: String)
        case returned(code: UInt16, text: String, exchange: String, routingKey: String)
    }

    struct Content {
        var announcement: Announcement
        var message: AMQPMessage
        /// More than `message.body.count` if the body was cut.
        var bodySize: UInt64
    }

    private let limit: UInt64
    private var announcement: Announcement?
    private var content: Content?
    private var left: UInt64 = 0
    private var kept = 0

    init(maximumMessageBytes: Int) {
        limit = UInt64(maximumMessageBytes)
    }

    mutating func begin(_ announcement: Announcement) {
        self.announcement = announcement
        content = nil
    }

    /// - Returns: the content if it is complete, which it is here for an empty body.
    mutating func header(_ message: AMQPMessage, bodySize: UInt64) -> Content? {
        guard let announcement else { return nil }
        self.announcement = nil
        let content = Content(announcement: announcement, message: message, bodySize: bodySize)
        guard bodySize > 0 else { return content }
        self.content = content
        left = bodySize
        kept = Int(bodySize <= limit ? bodySize : min(limit, UInt64(Self.oversizedPrefix)))
        self.content?.message.body.reserveCapacity(kept)
        return nil
    }

    mutating func body(_ fragment: UnsafeRawBufferPointer) -> Content? {
        guard let size = content?.message.body.count else { return nil }
        let wanted = min(kept - size, fragment.count)
        if wanted > 0 { content?.message.body.append(contentsOf: fragment[0..<wanted]) }
        left -= min(left, UInt64(fragment.count))
        guard left == 0 else { return nil }
        defer { content = nil }
        return content
    }
}
