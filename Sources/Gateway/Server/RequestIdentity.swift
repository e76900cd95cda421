import HTTPWire
import NIOCore

/// What names a request on its way through all systems, and the header lines that carry it on.
struct RequestIdentity {
    /// The client's `X-Request-Id` if it is sensible, else a new one.
    let requestID: ByteBuffer
    /// `content-type`, `accept`, `x-request-id`, `traceparent` and `tracestate` for the replica.
    ///
    /// Of the client's fields only these go on: what it says of itself, its key above all, is not the replica's business.
    let fields: ByteBuffer

    private static let idLimit = 128

    init(_ head: RequestHead, _ bytes: ByteBuffer, _ loop: LoopState, _ allocator: ByteBufferAllocator) {
        var fields = allocator.buffer(capacity: 320)
        var id = 0..<0
        bytes.withUnsafeReadableBytes { bytes in
            func value(_ field: KnownField) -> UnsafeRawBufferPointer? {
                head.value(of: field).map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
            }
            fields.writeStaticString("content-type: application/json\r\nx-request-id: ")
            let start = fields.writerIndex
            if let own = value(.requestID), (1...Self.idLimit).contains(own.count), own.allSatisfy({ $0 > 0x20 }) {
                fields.writeBytes(own)
            } else {
                fields.writeWord(loop.randomWord())
                fields.writeWord(loop.randomWord())
            }
            id = start..<fields.writerIndex
            fields.writeStaticString("\r\naccept: ")
            if let accept = value(.accept), accept.count <= 256 {
                fields.writeBytes(accept)
            } else {
                fields.writeStaticString("*/*")
            }
            fields.writeStaticString("\r\ntraceparent: 00-")
            let parent = value(.traceparent).flatMap { Self.isTraceparent($0) ? $0 : nil }
            if let parent {
                fields.writeBytes(UnsafeRawBufferPointer(rebasing: parent[3..<35]))
            } else {
                // A trace id of zeros only is forbidden (W3C Trace Context §3.2.2.3).
                fields.writeWord(loop.randomWord() | 1)
                fields.writeWord(loop.randomWord())
            }
            fields.writeStaticString("-")
            fields.writeWord(loop.randomWord() | 1)
            fields.writeStaticString("-")
            if let parent {
                fields.writeBytes(UnsafeRawBufferPointer(rebasing: parent[53..<55]))
                if let state = value(.tracestate), state.count <= 512 {
                    fields.writeStaticString("\r\ntracestate: ")
                    fields.writeBytes(state)
                }
            } else {
                fields.writeStaticString("00")
            }
            fields.writeStaticString("\r\n")
        }
        requestID = fields.getSlice(at: id.lowerBound, length: id.count) ?? ByteBuffer()
        self.fields = fields
    }

    /// Version 00 of W3C Trace Context (§3.2): `00-<32 digits>-<16 digits>-<2 digits>`, ids not all zeros.
    private static func isTraceparent(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count == 55, value[0] == 0x30, value[1] == 0x30, value[2] == 0x2d, value[35] == 0x2d,
            value[52] == 0x2d
        else { return false }
        func isHexadecimal(_ places: Range<Int>) -> Bool {
            value[places].allSatisfy { $0 &- 0x30 < 10 || $0 &- 0x61 < 6 }
        }
        func isZero(_ places: Range<Int>) -> Bool { value[places].allSatisfy { $0 == 0x30 } }
        return isHexadecimal(3..<35) && isHexadecimal(36..<52) && isHexadecimal(53..<55) && !isZero(3..<35)
            && !isZero(36..<52)
    }
}

extension ByteBuffer {
    /// Appends 16 hexadecimal digits.
    mutating func writeWord(_ word: UInt64) {
        var digits: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &digits) { bytes in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * index)) & 15
                bytes[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
            }
            writeBytes(UnsafeRawBufferPointer(bytes))
        }
    }
}
