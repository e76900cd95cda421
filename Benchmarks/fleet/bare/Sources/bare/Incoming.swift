import CRabbitMQ
import Glibc

/// What the broker may send to these loops.
enum Incoming {
    /// A message, with its body.
    case delivery(tag: UInt64, body: [UInt8])
    /// The broker has a published message, and all before it if `multiple`.
    case confirm(tag: UInt64, multiple: Bool)
    /// Nothing came in time.
    case nothing
}

extension Connection {
    /// The next thing that arrives.
    /// - Parameter wait: nanoseconds; nil waits for ever.
    func next(wait: Int64? = nil) throws -> Incoming {
        amqp_maybe_release_buffers(state)
        var frame = amqp_frame_t()
        let status: Int32
        if let wait {
            var limit = timeval(tv_sec: Int(wait / 1_000_000_000), tv_usec: Int(wait % 1_000_000_000 / 1_000))
            status = amqp_simple_wait_frame_noblock(state, &frame, &limit)
        } else {
            status = amqp_simple_wait_frame(state, &frame)
        }
        if status == AMQP_STATUS_TIMEOUT.rawValue { return .nothing }
        guard status == AMQP_STATUS_OK.rawValue else {
            throw BareError("connection lost: \(String(cString: amqp_error_string2(status)))")
        }
        guard frame.frame_type == UInt8(AMQP_FRAME_METHOD), let decoded = frame.payload.method.decoded else {
            throw BareError("a frame came out of order")
        }
        switch frame.payload.method.id {
        case AMQP_BASIC_DELIVER_METHOD:
            let tag = decoded.assumingMemoryBound(to: amqp_basic_deliver_t.self).pointee.delivery_tag
            return .delivery(tag: tag, body: try readBody(frame.channel))
        case AMQP_BASIC_ACK_METHOD:
            let ack = decoded.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee
            return .confirm(tag: ack.delivery_tag, multiple: ack.multiple != 0)
        case AMQP_BASIC_NACK_METHOD: throw BareError("the broker does not take a message")
        case AMQP_BASIC_RETURN_METHOD: throw BareError("a message cannot be routed: is the queue declared?")
        default: throw BareError("the broker sends method \(frame.payload.method.id)")
        }
    }

    /// Whether something is here already, so that what was written need not wait for it.
    var hasBufferedFrames: Bool { amqp_frames_enqueued(state) != 0 || amqp_data_in_buffer(state) != 0 }

    private func readBody(_ channel: amqp_channel_t) throws -> [UInt8] {
        var message = amqp_message_t()
        let reply = amqp_read_message(state, channel, &message, 0)
        guard reply.reply_type == AMQP_RESPONSE_NORMAL else { throw BareError("a message broke off") }
        defer { amqp_destroy_message(&message) }
        return Array(UnsafeRawBufferPointer(start: message.body.bytes, count: message.body.len))
    }
}
