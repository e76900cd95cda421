import CRabbitMQ

extension AMQPMessage {
    /// Checks what the broker would answer with a closed channel, so that one bad message cannot
    /// disturb its neighbours.
    func validate(for configuration: AMQPConfiguration) throws(AMQPError) {
        guard body.count <= configuration.maximumMessageBytes else {
            throw AMQPError(
                .messageTooLarge,
                "the message has \(body.count) bytes, the limit is \(configuration.maximumMessageBytes); "
                    + "store the data elsewhere and send a reference, or raise maximumMessageBytes")
        }
        for (name, value) in [
            ("contentType", contentType), ("contentEncoding", contentEncoding), ("correlationID", correlationID),
            ("replyTo", replyTo), ("messageID", messageID), ("type", type), ("appID", appID),
        ] {
            if let value { try Self.checkShort(value, name) }
        }
        if let expiration {
            guard let milliseconds = UInt32(expiration), String(milliseconds) == expiration else {
                throw AMQPError(
                    .invalidMessage, "expiration '\(expiration.prefix(40))' is not a number of milliseconds")
            }
        }
        if let userID, userID != configuration.username {
            throw AMQPError(
                .invalidMessage,
                "userID '\(userID.prefix(80))' is not the connection's user '\(configuration.username)'")
        }
    }

    /// AMQP's short strings: 255 bytes at most.
    static func checkShort(_ text: String, _ name: String) throws(AMQPError) {
        guard text.utf8.count <= 255 else {
            throw AMQPError(
                .invalidMessage, "\(name) '\(text.prefix(40))…' has \(text.utf8.count) bytes; AMQP allows 255")
        }
    }

    /// The properties in librabbitmq's form, valid until `arena` is recycled.
    func properties(in arena: Arena) throws(AMQPError) -> amqp_basic_properties_t {
        var properties = amqp_basic_properties_t()
        var flags: Int32 = AMQP_BASIC_DELIVERY_MODE_FLAG
        properties.delivery_mode = deliveryMode.rawValue
        func set(_ text: String?, _ flag: Int32, _ field: inout amqp_bytes_t) {
            guard let text else { return }
            field = arena.bytes(text)
            flags |= flag
        }
        set(contentType, AMQP_BASIC_CONTENT_TYPE_FLAG, &properties.content_type)
        set(contentEncoding, AMQP_BASIC_CONTENT_ENCODING_FLAG, &properties.content_encoding)
        set(correlationID, AMQP_BASIC_CORRELATION_ID_FLAG, &properties.correlation_id)
        set(replyTo, AMQP_BASIC_REPLY_TO_FLAG, &properties.reply_to)
        set(expiration, AMQP_BASIC_EXPIRATION_FLAG, &properties.expiration)
        set(messageID, AMQP_BASIC_MESSAGE_ID_FLAG, &properties.message_id)
        set(type, AMQP_BASIC_TYPE_FLAG, &properties.type)
        set(userID, AMQP_BASIC_USER_ID_FLAG, &properties.user_id)
        set(appID, AMQP_BASIC_APP_ID_FLAG, &properties.app_id)
        if let priority {
            properties.priority = priority
            flags |= AMQP_BASIC_PRIORITY_FLAG
        }
        if let timestamp {
            properties.timestamp = timestamp
            flags |= AMQP_BASIC_TIMESTAMP_FLAG
        }
        if !headers.isEmpty {
            properties.headers = try arena.table(headers)
            flags |= AMQP_BASIC_HEADERS_FLAG
        }
        properties._flags = amqp_flags_t(flags)
        return properties
    }

    /// Copies decoded properties; the body comes later.
    init(copying properties: amqp_basic_properties_t) {
        func text(_ flag: Int32, _ field: amqp_bytes_t) -> String? {
            properties._flags & amqp_flags_t(flag) != 0 ? String(copying: field) : nil
        }
        func has(_ flag: Int32) -> Bool { properties._flags & amqp_flags_t(flag) != 0 }
        self.init(
            body: [],
            contentType: text(AMQP_BASIC_CONTENT_TYPE_FLAG, properties.content_type),
            contentEncoding: text(AMQP_BASIC_CONTENT_ENCODING_FLAG, properties.content_encoding),
            headers: has(AMQP_BASIC_HEADERS_FLAG) ? AMQPValue.table(properties.headers) : [:],
            // AMQP's default is transient.
            deliveryMode: has(AMQP_BASIC_DELIVERY_MODE_FLAG) && properties.delivery_mode == 2
                ? .persistent : .transient,
            priority: has(AMQP_BASIC_PRIORITY_FLAG) ? properties.priority : nil,
            correlationID: text(AMQP_BASIC_CORRELATION_ID_FLAG, properties.correlation_id),
            replyTo: text(AMQP_BASIC_REPLY_TO_FLAG, properties.reply_to),
            expiration: text(AMQP_BASIC_EXPIRATION_FLAG, properties.expiration),
            messageID: text(AMQP_BASIC_MESSAGE_ID_FLAG, properties.message_id),
            timestamp: has(AMQP_BASIC_TIMESTAMP_FLAG) ? properties.timestamp : nil,
            type: text(AMQP_BASIC_TYPE_FLAG, properties.type),
            userID: text(AMQP_BASIC_USER_ID_FLAG, properties.user_id),
            appID: text(AMQP_BASIC_APP_ID_FLAG, properties.app_id))
    }
}
