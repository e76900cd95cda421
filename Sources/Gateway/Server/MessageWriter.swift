import Glibc
import NIOCore

/// Writes a message, word by word, into memory that has room for all of it: a buffer would be asked for every word whether
/// it is large enough and nobody else's.
struct MessageWriter {
    private let memory: UnsafeMutableRawBufferPointer
    /// Bytes written.
    private(set) var count = 0

    fileprivate init(_ memory: UnsafeMutableRawBufferPointer) {
        self.memory = memory
    }

    mutating func text(_ text: StaticString) {
        append(text.utf8Start, text.utf8CodeUnitCount)
    }

    /// The first line of an answer; what follows begins with CR LF.
    mutating func statusLine(_ status: Int) {
        text("HTTP/1.1 ")
        decimal(status)
        text(" ")
        text(StatusReason.of(status))
    }

    mutating func string(_ string: String) {
        var string = string
        string.withUTF8 { bytes(UnsafeRawBufferPointer($0)) }
    }

    mutating func bytes(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        append(base, bytes.count)
    }

    mutating func buffer(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { bytes($0) }
    }

    /// A part of a buffer, whose places count from its first readable byte.
    mutating func buffer(_ buffer: ByteBuffer, _ places: Range<Int>) {
        buffer.withUnsafeReadableBytes { bytes(UnsafeRawBufferPointer(rebasing: $0[places])) }
    }

    /// A number that is not negative, in decimal digits.
    mutating func decimal(_ value: Int) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { room in
            var at = room.count
            var rest = value
            repeat {
                at -= 1
                room[at] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            bytes(UnsafeRawBufferPointer(rebasing: room[at...]))
        }
    }

    /// 16 hexadecimal digits.
    mutating func word(_ word: UInt64) {
        var digits: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &digits) { room in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * index)) & 15
                room[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
            }
            bytes(UnsafeRawBufferPointer(room))
        }
    }

    private mutating func append(_ start: UnsafeRawPointer, _ length: Int) {
        precondition(length <= memory.count - count, "a message is larger than was said")
        guard length > 0, let base = memory.baseAddress else { return }
        memcpy(base + count, start, length)
        count += length
    }
}

extension ByteBuffer {
    /// Appends what a writer writes.
    /// - Parameter capacity: bytes that it writes at most.
    mutating func write(atMost capacity: Int, _ body: (inout MessageWriter) -> Void) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: capacity) { memory in
            var writer = MessageWriter(memory)
            body(&writer)
            return writer.count
        }
    }
}
