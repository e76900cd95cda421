import CRabbitMQ
import Logging

extension AMQPLink {
    /// Gives a frame to its channel.
    func handle(_ frame: amqp_frame_t) throws(AMQPError) {
        if frame.channel == 0 {
            if Int32(frame.frame_type) == AMQP_FRAME_METHOD { try handleConnection(frame.payload.method) }
            return
        }
        // Frames of a channel that we closed are dropped until the broker has agreed.
        guard let slot = slots[frame.channel] else { return }
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD:
            try handleMethod(frame.payload.method, frame.channel, slot.channel)
        case AMQP_FRAME_HEADER:
            guard let channel = slot.channel,
                let properties = frame.payload.properties.decoded?.load(as: amqp_basic_properties_t.self)
            else { return }
            let message = AMQPMessage(copying: properties)
            let size = frame.payload.properties.body_size
            if let content = slots[frame.channel]?.assembler.header(message, bodySize: size) {
                channel.received(content)
            }
        case AMQP_FRAME_BODY:
            guard let channel = slot.channel else { return }
            if let content = slots[frame.channel]?.assembler.body(frame.payload.body_fragment.buffer) {
                channel.received(content)
            }
        default:
            break
        }
    }

    private func handleConnection(_ method: amqp_method_t) throws(AMQPError) {
        switch method.id {
        case AMQP_CONNECTION_BLOCKED_METHOD:
            let reason = (method.decoded?.load(as: amqp_connection_blocked_t.self)).map { String(copying: $0.reason) }
            blockedReason = reason ?? "no reason given"
            logger.warning("the broker takes no publishes", metadata: ["reason": "\(blockedReason ?? "")"])
            status.blocked(blockedReason ?? "")
            handlers.blocked(blockedReason)
        case AMQP_CONNECTION_UNBLOCKED_METHOD:
            blockedReason = nil
            logger.info("the broker takes publishes again")
            status.unblocked()
            handlers.blocked(nil)
        case AMQP_CONNECTION_CLOSE_METHOD:
            let close = method.decoded?.load(as: amqp_connection_close_t.self)
            send(AMQP_CONNECTION_CLOSE_OK_METHOD, amqp_connection_close_ok_t(), channel: 0)
            flush()
            throw AMQPError(
                .connectionLost,
                "the broker at \(configuration.endpoint) closed the connection: "
                    + "\(close?.reply_code ?? 0) \(close.map { String(copying: $0.reply_text) } ?? "")",
                isRetryable: true, isOutcomeUnknown: true, replyCode: close?.reply_code)
        case AMQP_CONNECTION_CLOSE_OK_METHOD:
            throw AMQPError(.closed, "the connection is closed")
        default:
            break
        }
    }

    private func handleMethod(
        _ method: amqp_method_t, _ number: UInt16, _ channel: (any AMQPChannel)?
    ) throws(AMQPError) {
        guard let decoded = method.decoded else { return }
        switch method.id {
        case AMQP_CHANNEL_CLOSE_METHOD:
            slots[number] = nil
            send(AMQP_CHANNEL_CLOSE_OK_METHOD, amqp_channel_close_ok_t(), channel: number)
            let close = decoded.load(as: amqp_channel_close_t.self)
            channel?.closed(AMQPError(channelClosed: close.reply_code, text: String(copying: close.reply_text)))
        case AMQP_CHANNEL_CLOSE_OK_METHOD:
            slots[number] = nil
        case AMQP_BASIC_DELIVER_METHOD, AMQP_BASIC_GET_OK_METHOD, AMQP_BASIC_RETURN_METHOD:
            if channel != nil, let announcement = ContentAssembler.Announcement(method.id, decoded) {
                slots[number]?.assembler.begin(announcement)
            }
        default:
            channel?.received(method.id, decoded)
        }
    }
}
