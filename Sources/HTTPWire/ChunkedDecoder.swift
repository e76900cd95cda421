/// Takes the chunks of a chunked body apart (RFC 9112 §7.1), over as many reads as it takes.
package struct ChunkedDecoder: Sendable {
    /// What was found next.
    package enum Part: Equatable, Sendable {
        /// Content at these places of the bytes given.
        case content(Range<Int>)
        /// The body and its trailers are over; what follows belongs to the next message.
        case end
    }

    private enum State {
        case size(value: Int, digits: Int)
        case extensions(value: Int)
        case sizeEnd(value: Int)
        case content(left: Int)
        case contentEnd
        case contentEndFeed
        case trailerStart
        case trailer
        case trailerEnd
        case lastFeed
        case done
    }

    /// Bytes of extensions, and of trailers, that are passed over; they mean nothing here.
    private static let ignoredLimit = 4_096

    private var state = State.size(value: 0, digits: 0)
    private var ignored = 0

    package init() {}

    /// Finds the next part.
    /// - Parameters:
    ///   - bytes: what was received.
    ///   - at: where to go on; updated.
    /// - Returns: nil when all bytes are used and more are needed.
    /// - Throws: `HTTPFault` (400) at bytes that no chunk may have.
    package mutating func next(_ bytes: UnsafeRawBufferPointer, at: inout Int) throws(HTTPFault) -> Part? {
        while at < bytes.count {
            let byte = bytes[at]
            switch state {
            case .content(let left):
                let count = min(left, bytes.count - at)
                let range = at..<at + count
                at += count
                state = count == left ? .contentEnd : .content(left: left - count)
                return .content(range)
            case .size(let value, let digits):
                if let digit = Self.hexadecimal(byte) {
                    // Eight digits are 4 GiB, more than any chunk that is sensible.
                    guard digits < 8 else { throw HTTPFault(400, "a chunk's size has more than 8 digits") }
                    state = .size(value: value << 4 | digit, digits: digits + 1)
                } else {
                    guard digits > 0 else { throw HTTPFault(400, "a chunk does not begin with its size") }
                    switch byte {
                    case HeadBytes.carriageReturn: state = .sizeEnd(value: value)
                    case UInt8(ascii: ";"): state = .extensions(value: value)
                    default: throw HTTPFault(400, "a chunk's size is not a hexadecimal number")
                    }
                }
            case .extensions(let value):
                if byte == HeadBytes.carriageReturn { state = .sizeEnd(value: value) } else { try ignore(byte) }
            case .sizeEnd(let value):
                try expect(byte, HeadBytes.lineFeed)
                state = value == 0 ? .trailerStart : .content(left: value)
            case .contentEnd:
                try expect(byte, HeadBytes.carriageReturn)
                state = .contentEndFeed
            case .contentEndFeed:
                try expect(byte, HeadBytes.lineFeed)
                state = .size(value: 0, digits: 0)
            case .trailerStart:
                if byte == HeadBytes.carriageReturn {
                    state = .lastFeed
                } else {
                    try ignore(byte)
                    state = .trailer
                }
            case .trailer:
                if byte == HeadBytes.carriageReturn { state = .trailerEnd } else { try ignore(byte) }
            case .trailerEnd:
                try expect(byte, HeadBytes.lineFeed)
                state = .trailerStart
            case .lastFeed:
                try expect(byte, HeadBytes.lineFeed)
                at += 1
                state = .done
                return .end
            case .done: return .end
            }
            at += 1
        }
        return nil
    }

    private mutating func ignore(_ byte: UInt8) throws(HTTPFault) {
        ignored += 1
        guard ignored <= Self.ignoredLimit else {
            throw HTTPFault(400, "the chunks' extensions and trailers have more than \(Self.ignoredLimit) bytes")
        }
        guard byte >= 0x20 && byte != 0x7f || byte == HeadBytes.tab else {
            throw HTTPFault(400, "a chunk's extension or a trailer holds a control character")
        }
    }

    private func expect(_ byte: UInt8, _ expected: UInt8) throws(HTTPFault) {
        guard byte == expected else { throw HTTPFault(400, "a chunk does not end with CR LF where its size says") }
    }

    private static func hexadecimal(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }
}
