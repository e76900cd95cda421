import CRabbitMQ
import Glibc

/// One logged-in connection: librabbitmq's state and its socket.
///
/// Over plain TCP librabbitmq only encodes and decodes after the login: bytes are read into its
/// `amqp_handle_input` and written from a `FrameBuffer` without blocking, many frames per system call.
/// Its own writes would block this thread when the broker stops reading (which is how RabbitMQ
/// throttles publishers), and cost three system calls per message. Over TLS its socket is used, one
/// small frame at a time and only while `poll` says that there is room.
final class AMQPTransport: @unchecked Sendable {
    // Proof for `@unchecked Sendable`: made on a connector's thread, handed over once through a mutex,
    // and used only by the link that took it, on that link's thread. Nothing is shared before `take`.

    /// Bodies are split so that a TLS frame fits the room that `POLLOUT` promises.
    static let tlsBodyLimit = 16_384 - FrameBuffer.envelope
    private static let receiveBytes = 65_536
    /// Frames or reads in one turn, so that jobs and other channels are not held up.
    private static let turnLimit = 8

    let descriptor: Int32
    let isTLS: Bool
    let frameMax: Int
    /// As negotiated; zero for none.
    let heartbeat: Duration
    private let state: amqp_connection_state_t
    private let received: UnsafeMutableRawPointer
    private let arena = Arena()
    private var bytesSinceRelease = 0
    private let endpoint: String

    /// Takes over a logged-in state.
    init(state: amqp_connection_state_t, isTLS: Bool, endpoint: String) {
        self.state = state
        self.isTLS = isTLS
        self.endpoint = endpoint
        descriptor = amqp_get_sockfd(state)
        frameMax = Int(amqp_get_frame_max(state))
        heartbeat = .seconds(Int(amqp_get_heartbeat(state)))
        received = .allocate(byteCount: isTLS ? 1 : Self.receiveBytes, alignment: 16)
        if isTLS {
            var bytes: Int32 = 262_144
            setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    deinit {
        // Closes the socket as well.
        amqp_destroy_connection(state)
        received.deallocate()
    }

    // MARK: Reading

    /// Reads what is there, up to a turn's limit.
    /// - Returns: true if frames may be left that will not wake `poll`.
    func read(_ handle: (amqp_frame_t) throws(AMQPError) -> Void) throws(AMQPError) -> Bool {
        if try readBuffered(handle) { return true }
        if isTLS { return false }
        for _ in 0..<Self.turnLimit {
            let count = recv(descriptor, received, Self.receiveBytes, Int32(MSG_DONTWAIT))
            if count == 0 { throw lost("the broker closed the connection") }
            if count < 0 {
                if errno == EAGAIN || errno == EWOULDBLOCK { return false }
                if errno == EINTR { continue }
                throw lost(String(cString: strerror(errno)))
            }
            try decode(count, handle)
            if count < Self.receiveBytes { return false }
        }
        return false
    }

    /// Frames that librabbitmq holds: after the login, or over TLS.
    private func readBuffered(_ handle: (amqp_frame_t) throws(AMQPError) -> Void) throws(AMQPError) -> Bool {
        var left = Self.turnLimit * 64
        while isTLS || amqp_frames_enqueued(state) != 0 || amqp_data_in_buffer(state) != 0 {
            var frame = amqp_frame_t()
            var now = timeval()
            let status = amqp_simple_wait_frame_noblock(state, &frame, &now)
            if status == AMQP_STATUS_TIMEOUT.rawValue { return false }
            guard status == AMQP_STATUS_OK.rawValue else {
                throw lost(String(cString: amqp_error_string2(status)))
            }
            try handle(frame)
            amqp_maybe_release_buffers(state)
            left -= 1
            if left == 0 { return true }
        }
        return false
    }

    private func decode(_ count: Int, _ handle: (amqp_frame_t) throws(AMQPError) -> Void) throws(AMQPError) {
        var offset = 0
        while offset < count {
            var frame = amqp_frame_t()
            let used = amqp_handle_input(
                state, amqp_bytes_t(len: count - offset, bytes: received + offset), &frame)
            guard used > 0 else {
                throw lost("it sent what is not AMQP: \(String(cString: amqp_error_string2(used)))")
            }
            offset += Int(used)
            bytesSinceRelease += Int(used)
            guard frame.frame_type != 0 else { continue }
            try handle(frame)
            // Everything was copied. Releasing per frame would cost more than the memory is worth.
            if bytesSinceRelease > Self.receiveBytes, amqp_release_buffers_ok(state) != 0 {
                amqp_release_buffers(state)
                bytesSinceRelease = 0
            }
        }
    }

    // MARK: Writing

    /// - Returns: true if all of `buffer` was sent, false if the socket takes no more now.
    func write(_ buffer: FrameBuffer) throws(AMQPError) -> Bool {
        isTLS ? try writeFrames(buffer) : try writeBytes(buffer)
    }

    private func writeBytes(_ buffer: FrameBuffer) throws(AMQPError) -> Bool {
        while !buffer.isEmpty {
            let pending = buffer.pending
            let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
            let count = send(descriptor, pending.baseAddress, pending.count, flags)
            if count < 0 {
                if errno == EAGAIN || errno == EWOULDBLOCK { return false }
                if errno == EINTR { continue }
                throw lost(String(cString: strerror(errno)))
            }
            buffer.consume(count)
        }
        return true
    }

    private func writeFrames(_ buffer: FrameBuffer) throws(AMQPError) -> Bool {
        defer { arena.recycle() }
        while !buffer.isEmpty {
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&entry, 1, 0) > 0 else { return false }
            let (frame, size) = try parse(buffer.pending)
            let status = withUnsafePointer(to: frame) { amqp_send_frame(state, $0) }
            guard status == AMQP_STATUS_OK.rawValue else {
                throw lost(String(cString: amqp_error_string2(status)))
            }
            buffer.consume(size)
        }
        return true
    }

    /// The first of our own encoded frames, in the form that `amqp_send_frame` takes.
    private func parse(_ bytes: UnsafeRawBufferPointer) throws(AMQPError) -> (amqp_frame_t, Int) {
        var frame = amqp_frame_t()
        frame.frame_type = bytes[0]
        frame.channel = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt16.self))
        let size = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 3, as: UInt32.self)))
        let payload = UnsafeMutableRawPointer(mutating: bytes.baseAddress.map { $0 + 7 })
        var status: Int32 = 0
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD:
            frame.payload.method.id = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 7, as: UInt32.self))
            let encoded = amqp_bytes_t(len: size - 4, bytes: payload.map { $0 + 4 })
            status = amqp_decode_method(
                frame.payload.method.id, &arena.pool, encoded, &frame.payload.method.decoded)
        case AMQP_FRAME_HEADER:
            frame.payload.properties.class_id = UInt16(AMQP_BASIC_CLASS)
            frame.payload.properties.body_size = UInt64(
                bigEndian: bytes.loadUnaligned(fromByteOffset: 11, as: UInt64.self))
            let encoded = amqp_bytes_t(len: size - 12, bytes: payload.map { $0 + 12 })
            status = amqp_decode_properties(
                UInt16(AMQP_BASIC_CLASS), &arena.pool, encoded, &frame.payload.properties.decoded)
        default:
            frame.payload.body_fragment = amqp_bytes_t(len: size, bytes: payload)
        }
        guard status >= 0 else { throw lost(String(cString: amqp_error_string2(status))) }
        return (frame, size + FrameBuffer.envelope)
    }

    private func lost(_ reason: String) -> AMQPError {
        AMQPError(
            .connectionLost, "the connection to the broker at \(endpoint) was lost: \(reason)", isRetryable: true,
            isOutcomeUnknown: true)
    }
}
