import CLinux
import Glibc
import NIOCore

/// Follows a stream of server-sent events on its way to the client: counts what is answered, finds the use of tokens, and
/// keeps back the event with it when only the gateway asked for that.
struct EventStreamFilter {
    /// An event of more bytes is passed on without being looked at.
    private static let eventLimit = 1 << 20

    /// Whether the event that only tells the use is passed on.
    let passesUsage: Bool
    /// As the model server told it, at the end or with every event.
    private(set) var use: TokenUse?
    /// Events with a piece of an answer. A model server sends one for each token, or for a few when it is behind.
    private(set) var pieces = 0
    /// Whether the stream told its end.
    private(set) var isDone = false
    /// Whether an answer ended because it was as long as it may be.
    private(set) var isTruncated = false
    /// Whether the model server told in the stream that it failed.
    private(set) var hasFailed = false
    /// The beginning of an event whose end has not come yet.
    private var pending = ByteBuffer()

    /// Bytes of memory for it.
    var kept: Int { pending.storageCapacity }

    init(passesUsage: Bool) {
        self.passesUsage = passesUsage
    }

    /// Takes what was received, and gives what is to be sent on: whole events.
    mutating func feed(_ received: ByteBuffer, into out: inout ByteBuffer) {
        pending.receive(received)
        while let length = eventLength() {
            guard let event = pending.readSlice(length: length) else { return }
            if keeps(event) { out.writeImmutableBuffer(event) }
        }
        if pending.readableBytes > Self.eventLimit {
            out.writeImmutableBuffer(pending)
            pending = ByteBuffer()
        }
    }

    /// Forgets the beginning of an event that will have no end.
    mutating func drop() { pending = ByteBuffer() }

    /// What is left when the stream ends without an empty line.
    mutating func finish(into out: inout ByteBuffer) {
        if pending.readableBytes > 0, keeps(pending) { out.writeImmutableBuffer(pending) }
        pending = ByteBuffer()
    }

    /// Bytes up to the empty line that ends the first event, with it.
    private func eventLength() -> Int? {
        pending.withUnsafeReadableBytes { bytes in
            var at = 0
            guard let base = bytes.baseAddress else { return nil }
            while at < bytes.count, let found = memchr(base + at, 0x0A, bytes.count - at) {
                at = UnsafeRawPointer(found) - base + 1
                guard at < bytes.count else { return nil }
                if bytes[at] == 0x0A { return at + 1 }
                if bytes[at] == 0x0D, at + 1 < bytes.count, bytes[at + 1] == 0x0A { return at + 2 }
            }
            return nil
        }
    }

    /// Looks at an event: whether the client gets it.
    private mutating func keeps(_ event: ByteBuffer) -> Bool {
        event.withUnsafeReadableBytes { bytes in
            guard Self.begins(bytes, "data:") else { return true }
            if Self.holds(bytes, "[DONE]"), bytes.count < 24 {
                isDone = true
                return true
            }
            if Self.holds(bytes, "\"error\":"), !Self.holds(bytes, "\"choices\":") {
                // A fault of the request is none of the model server's.
                if !Self.holds(bytes, "\"code\":4"), !Self.holds(bytes, "\"code\": 4") { hasFailed = true }
                return true
            }
            if Self.holds(bytes, "\"usage\""), let found = TokenUse(lastIn: bytes) {
                use = found
                if Self.holds(bytes, "\"choices\":[]") || Self.holds(bytes, "\"choices\": []") { return passesUsage }
            }
            if Self.holds(bytes, "\"finish_reason\":\"length\"") { isTruncated = true }
            // The first event of a chat names the role only.
            if !Self.holds(bytes, "\"content\":\"\""), !Self.holds(bytes, "\"text\":\"\"") { pieces += 1 }
            return true
        }
    }

    private static func begins(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard let base = bytes.baseAddress, bytes.count >= text.utf8CodeUnitCount else { return false }
        return memcmp(base, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    static func holds(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        return memmem(base, bytes.count, text.utf8Start, text.utf8CodeUnitCount) != nil
    }
}
