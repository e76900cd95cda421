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
        // Mostly events come whole, and nothing has to be kept.
        var rest = received
        if pending.readableBytes > 0 {
            pending.receive(received)
            rest = pending
            pending = ByteBuffer()
        }
        let taken = rest.withUnsafeReadableBytes { take($0, into: &out) }
        guard taken < rest.readableBytes else { return }
        rest.moveReaderIndex(forwardBy: taken)
        if rest.readableBytes > Self.eventLimit { out.writeImmutableBuffer(rest) } else { pending = rest }
    }

    /// Looks at the whole events.
    /// - Returns: their bytes.
    private mutating func take(_ bytes: UnsafeRawBufferPointer, into out: inout ByteBuffer) -> Int {
        // From here on what is kept is not written yet: events that follow each other are written at once.
        var start = 0
        var at = 0
        while let length = Self.eventLength(UnsafeRawBufferPointer(rebasing: bytes[at...])) {
            if !keeps(UnsafeRawBufferPointer(rebasing: bytes[at..<at + length])) {
                out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[start..<at]))
                start = at + length
            }
            at += length
        }
        if start < at { out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[start..<at])) }
        return at
    }

    /// Forgets the beginning of an event that will have no end.
    mutating func drop() { pending = ByteBuffer() }

    /// What is left when the stream ends without an empty line.
    mutating func finish(into out: inout ByteBuffer) {
        let last = pending
        pending = ByteBuffer()
        if last.readableBytes > 0, last.withUnsafeReadableBytes({ keeps($0) }) { out.writeImmutableBuffer(last) }
    }

    /// Bytes up to the empty line that ends the first event, with it.
    private static func eventLength(_ bytes: UnsafeRawBufferPointer) -> Int? {
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

    /// Looks at an event: whether the client gets it.
    private mutating func keeps(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.begins("data:") else { return true }
        if bytes.count < 24, Self.holds(bytes, "[DONE]") {
            isDone = true
            return true
        }
        let marks = EventMarks(in: bytes)
        if marks.contains(.error), !marks.contains(.choices) {
            // A fault of the request is none of the model server's.
            if !marks.contains(.clientError) { hasFailed = true }
            return true
        }
        if marks.contains(.usage), let found = TokenUse(lastIn: bytes) {
            use = found
            if marks.contains(.noChoices) { return passesUsage }
        }
        if marks.contains(.truncated) { isTruncated = true }
        // The first event of a chat names the role only.
        if !marks.contains(.noText) { pieces += 1 }
        return true
    }

    static func holds(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        return memmem(base, bytes.count, text.utf8Start, text.utf8CodeUnitCount) != nil
    }
}

/// What an event says, as far as it is looked at. Within a string of a JSON text no quote stands unescaped, so that a
/// member's name is found only where it is one.
private struct EventMarks: OptionSet {
    let rawValue: UInt8

    static let error = EventMarks(rawValue: 1)
    /// With a status of 4xx.
    static let clientError = EventMarks(rawValue: 2)
    static let choices = EventMarks(rawValue: 4)
    static let noChoices = EventMarks(rawValue: 8)
    static let usage = EventMarks(rawValue: 16)
    static let truncated = EventMarks(rawValue: 32)
    static let noText = EventMarks(rawValue: 64)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Goes through an event once: there is one for each token.
    init(in bytes: UnsafeRawBufferPointer) {
        var marks: EventMarks = []
        var at = 0
        while at + 1 < bytes.count {
            defer { at += 1 }
            guard bytes[at] == UInt8(ascii: "\"") else { continue }
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            switch bytes[at + 1] {
            case UInt8(ascii: "c"):
                if rest.begins("\"content\":\"\"") { marks.insert(.noText) }
                if rest.begins("\"choices\":") { marks.insert(.choices) }
                if rest.begins("\"choices\":[]") || rest.begins("\"choices\": []") { marks.insert(.noChoices) }
                if rest.begins("\"code\":4") || rest.begins("\"code\": 4") { marks.insert(.clientError) }
            case UInt8(ascii: "e"): if rest.begins("\"error\":") { marks.insert(.error) }
            case UInt8(ascii: "f"): if rest.begins("\"finish_reason\":\"length\"") { marks.insert(.truncated) }
            case UInt8(ascii: "t"): if rest.begins("\"text\":\"\"") { marks.insert(.noText) }
            case UInt8(ascii: "u"): if rest.begins("\"usage\"") { marks.insert(.usage) }
            default: break
            }
        }
        self = marks
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func begins(_ text: StaticString) -> Bool {
        guard let baseAddress, count >= text.utf8CodeUnitCount else { return false }
        return memcmp(baseAddress, text.utf8Start, text.utf8CodeUnitCount) == 0
    }
}
