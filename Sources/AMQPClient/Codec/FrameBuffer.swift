import CRabbitMQ
import Glibc

/// Encoded frames on their way to the socket, back to back, so that many share one system call.
///
/// librabbitmq encodes what is inside a frame; the envelope (type, channel, size, 0xCE) is AMQP 0-9-1
/// section 2.3.5.
final class FrameBuffer {
    static let envelope = 8
    private static let frameEnd: UInt8 = 0xCE
    /// Above this the memory is given back once it is empty.
    private static let keptCapacity = 1 << 20

    /// The negotiated limit of a whole frame.
    var frameMax = 131_072
    let arena = Arena()
    private var memory = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
    private var capacity = 1
    private var start = 0
    private var end = 0

    deinit {
        memory.deallocate()
    }

    var count: Int { end - start }
    var isEmpty: Bool { end == start }
    /// What is not sent yet; valid until the next change.
    var pending: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory + start, count: count) }

    func consume(_ bytes: Int) {
        start += bytes
        guard start == end else { return }
        start = 0
        end = 0
        if capacity > Self.keptCapacity { setCapacity(1) }
    }

    func removeAll() {
        consume(count)
    }

    // MARK: Frames

    /// - Parameter value: librabbitmq's struct for `id`, whose pointers live in `arena` or outlive the call.
    func method<Method>(_ id: amqp_method_number_t, _ value: Method, channel: UInt16) throws(AMQPError) {
        reserve(frameMax)
        let mark = end
        var value = value
        let room = amqp_bytes_t(len: frameMax - Self.envelope - 4, bytes: memory + end + 11)
        let length = withUnsafeMutablePointer(to: &value) { amqp_encode_method(id, $0, room) }
        guard length >= 0 else { throw Self.notEncodable(amqp_method_name(id).map { String(cString: $0) }, length) }
        (memory + mark + 7).storeBytes(of: id.bigEndian, as: UInt32.self)
        close(type: UInt8(AMQP_FRAME_METHOD), channel: channel, payload: 4 + Int(length))
    }

    /// `basic.publish` with its header and body frames; all of it or, if it throws, nothing.
    func publish(_ publication: AMQPPublication, channel: UInt16, maximumBody: Int) throws(AMQPError) {
        let mark = end - start
        do throws(AMQPError) {
            defer { arena.recycle() }
            var method = amqp_basic_publish_t()
            method.exchange = arena.bytes(publication.exchange)
            method.routing_key = arena.bytes(publication.routingKey)
            method.mandatory = publication.mandatory ? 1 : 0
            try self.method(AMQP_BASIC_PUBLISH_METHOD, method, channel: channel)
            try header(publication.message, channel: channel)
        } catch {
            end = start + mark
            throw error
        }
        let limit = min(frameMax - Self.envelope, maximumBody)
        publication.message.body.withUnsafeBytes { body in
            guard let base = body.baseAddress else { return }
            var offset = 0
            while offset < body.count {
                let size = min(limit, body.count - offset)
                reserve(size + Self.envelope)
                memcpy(memory + end + 7, base + offset, size)
                close(type: UInt8(AMQP_FRAME_BODY), channel: channel, payload: size)
                offset += size
            }
        }
    }

    func heartbeat() {
        reserve(Self.envelope)
        close(type: UInt8(AMQP_FRAME_HEARTBEAT), channel: 0, payload: 0)
    }

    private func header(_ message: AMQPMessage, channel: UInt16) throws(AMQPError) {
        var properties = try message.properties(in: arena)
        reserve(frameMax)
        let payload = memory + end + 7
        let room = amqp_bytes_t(len: frameMax - Self.envelope - 12, bytes: payload + 12)
        let length = withUnsafeMutablePointer(to: &properties) {
            amqp_encode_properties(UInt16(AMQP_BASIC_CLASS), $0, room)
        }
        guard length >= 0 else { throw Self.notEncodable("the message's properties and headers", length) }
        payload.storeBytes(of: UInt16(AMQP_BASIC_CLASS).bigEndian, as: UInt16.self)
        (payload + 2).storeBytes(of: 0, as: UInt16.self)
        (payload + 4).storeBytes(of: UInt64(message.body.count).bigEndian, as: UInt64.self)
        close(type: UInt8(AMQP_FRAME_HEADER), channel: channel, payload: 12 + Int(length))
    }

    private func close(type: UInt8, channel: UInt16, payload: Int) {
        let frame = memory + end
        frame.storeBytes(of: type, as: UInt8.self)
        (frame + 1).storeBytes(of: channel.bigEndian, as: UInt16.self)
        (frame + 3).storeBytes(of: UInt32(payload).bigEndian, as: UInt32.self)
        (frame + 7 + payload).storeBytes(of: Self.frameEnd, as: UInt8.self)
        end += payload + Self.envelope
    }

    private static func notEncodable(_ what: String?, _ status: Int32) -> AMQPError {
        AMQPError(
            .invalidMessage,
            "\(what ?? "a method") cannot be encoded: \(String(cString: amqp_error_string2(status))); "
                + "names are limited to 255 bytes and all headers together to one frame")
    }

    // MARK: Memory

    private func reserve(_ bytes: Int) {
        guard capacity - end < bytes else { return }
        if start > 0 {
            memmove(memory, memory + start, count)
            end -= start
            start = 0
        }
        if capacity - end < bytes { setCapacity(max(end + bytes, capacity * 2)) }
    }

    private func setCapacity(_ bytes: Int) {
        let larger = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
        memcpy(larger, memory + start, count)
        end -= start
        start = 0
        memory.deallocate()
        memory = larger
        capacity = bytes
    }
}
