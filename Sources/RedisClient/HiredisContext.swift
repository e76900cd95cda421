import CHiredis

/// Owns a `redisContext` and its socket; freed with the last reference, which the connection's actor holds.
final class HiredisContext {
    let pointer: UnsafeMutablePointer<redisContext>

    /// Takes over a connected, non-blocking socket, also when it fails.
    init?(socket: Int32) {
        guard let pointer = redisConnectFd(socket) else { return nil }
        // 0.14 takes a descriptor for a blocking one, and would treat EAGAIN as an error.
        pointer.pointee.flags &= ~REDIS_BLOCK
        self.pointer = pointer
    }

    deinit {
        redisFree(pointer)
    }

    var errorMessage: String {
        withUnsafeBytes(of: pointer.pointee.errstr) { buffer in
            String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// Bytes received and not parsed yet.
    var unparsedBytes: Int {
        guard let reader = pointer.pointee.reader else { return 0 }
        return Int(reader.pointee.len) - Int(reader.pointee.pos)
    }

    /// Reads what the socket holds, at most about 256 KiB.
    /// - Returns: how many bytes came, or nil when the context is dead.
    func read() -> Int? {
        var total = 0
        for _ in 0..<16 {
            let before = Int(pointer.pointee.reader?.pointee.len ?? 0)
            guard redisBufferRead(pointer) == REDIS_OK else { return nil }
            let received = Int(pointer.pointee.reader?.pointee.len ?? 0) - before
            // Feeding drops parsed bytes first, so the length may even shrink: stop only when nothing can have come.
            total += max(0, received)
            if received < 16_384 { break }
        }
        return total
    }

    /// The next complete reply; `.some(nil)` when there is none yet; nil when the context is dead.
    func nextReply() -> RedisValue?? {
        var reply: UnsafeMutableRawPointer?
        guard redisGetReplyFromReader(pointer, &reply) == REDIS_OK else { return nil }
        guard let reply else { return .some(nil) }
        defer { freeReplyObject(reply) }
        return .some(Self.value(reply.assumingMemoryBound(to: redisReply.self).pointee))
    }

    /// Depth is bounded by hiredis: it refuses more than seven nested arrays.
    private static func value(_ reply: redisReply) -> RedisValue {
        switch reply.type {
        case REDIS_REPLY_STRING: .bytes(bytes(reply))
        case REDIS_REPLY_STATUS: .status(String(decoding: bytes(reply), as: UTF8.self))
        case REDIS_REPLY_ERROR: .error(String(decoding: bytes(reply), as: UTF8.self))
        case REDIS_REPLY_INTEGER: .integer(reply.integer)
        case REDIS_REPLY_ARRAY:
            .array((0..<reply.elements).map { reply.element[$0].map { value($0.pointee) } ?? .null })
        default: .null
        }
    }

    private static func bytes(_ reply: redisReply) -> [UInt8] {
        guard let start = reply.str, reply.len > 0 else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: reply.len))
    }
}
