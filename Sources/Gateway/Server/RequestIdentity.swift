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

    /// Bytes of the header lines, without what is taken from the client's.
    private static let usualSize = 256

    init(_ head: RequestHead, _ bytes: ByteBuffer, _ loop: LoopState, _ allocator: ByteBufferAllocator) {
        var id = 0..<0
        fields = bytes.withUnsafeReadableBytes { bytes in
            func value(_ field: KnownField, limit: Int) -> UnsafeRawBufferPointer? {
                head.value(of: field).flatMap { (1...limit).contains($0.count) ? .init(rebasing: bytes[$0]) : nil }
            }
            let own = value(.requestID, limit: 128).flatMap { $0.allSatisfy { $0 > 0x20 } ? $0 : nil }
            let accept = value(.accept, limit: 256)
            let parent = value(.traceparent, limit: 55).flatMap { Self.isTraceparent($0) ? $0 : nil }
            let state = parent == nil ? nil : value(.tracestate, limit: 512)
            let size = Self.usualSize + (own?.count ?? 0) + (accept?.count ?? 0) + (state?.count ?? 0)
            var fields = allocator.buffer(capacity: size)
            fields.write(atMost: size) { out in
                out.text("content-type: application/json\r\nx-request-id: ")
                let start = out.count
                if let own {
                    out.bytes(own)
                } else {
                    out.word(loop.randomWord())
                    out.word(loop.randomWord())
                }
                id = start..<out.count
                out.text("\r\naccept: ")
                if let accept { out.bytes(accept) } else { out.text("*/*") }
                out.text("\r\ntraceparent: 00-")
                if let parent {
                    out.bytes(UnsafeRawBufferPointer(rebasing: parent[3..<35]))
                } else {
                    // A trace id of zeros only is forbidden (W3C Trace Context §3.2.2.3).
                    out.word(loop.randomWord() | 1)
                    out.word(loop.randomWord())
                }
                out.text("-")
                out.word(loop.randomWord() | 1)
                out.text("-")
                if let parent { out.bytes(UnsafeRawBufferPointer(rebasing: parent[53..<55])) } else { out.text("00") }
                if let state {
                    out.text("\r\ntracestate: ")
                    out.bytes(state)
                }
                out.text("\r\n")
            }
            return fields
        }
        requestID = fields.getSlice(at: id.lowerBound, length: id.count) ?? ByteBuffer()
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
