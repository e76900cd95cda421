import CLinux
import Glibc

/// Steps of reading a head, which is whole: it ends with an empty line.
struct HeadBytes {
    static let carriageReturn = UInt8(ascii: "\r")
    static let lineFeed = UInt8(ascii: "\n")
    static let space = UInt8(ascii: " ")
    static let tab = UInt8(ascii: "\t")

    let bytes: UnsafeRawBufferPointer
    var at: Int

    /// Where the head that begins at the first byte ends: after its empty line.
    /// - Parameter start: what was searched before, so that a head that comes byte by byte is not searched again.
    static func end(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        let begin = max(0, start - 3)
        guard let base = bytes.baseAddress, bytes.count - begin >= 4 else { return nil }
        let empty: StaticString = "\r\n\r\n"
        guard let found = memmem(base + begin, bytes.count - begin, empty.utf8Start, 4) else { return nil }
        return UnsafeRawPointer(found) - base + 4
    }

    /// Reads fields up to the empty line.
    mutating func fields(into fields: inout [HeaderField], limit: Int) throws(HTTPFault) {
        while bytes[at] != Self.carriageReturn || bytes[at + 1] != Self.lineFeed {
            guard fields.count < limit else { throw HTTPFault(431, "more than \(limit) header fields") }
            fields.append(try field())
        }
        at += 2
    }

    private mutating func field() throws(HTTPFault) -> HeaderField {
        let name = at
        while Self.isToken(bytes[at]) { at += 1 }
        let nameEnd = at
        guard nameEnd > name, bytes[at] == UInt8(ascii: ":") else {
            throw HTTPFault(
                400, "byte \(at + 1) of the head is not part of a header field's name, nor the colon after it")
        }
        at += 1
        while bytes[at] == Self.space || bytes[at] == Self.tab { at += 1 }
        let value = at
        while true {
            skipVisible()
            let byte = bytes[at]
            if byte == Self.carriageReturn { break }
            guard byte == Self.tab else {
                throw HTTPFault(400, "byte \(at + 1) of the head, in a header field's value, is a control character")
            }
            at += 1
        }
        var valueEnd = at
        while valueEnd > value, bytes[valueEnd - 1] == Self.space || bytes[valueEnd - 1] == Self.tab { valueEnd -= 1 }
        try endOfLine()
        return HeaderField(
            name: name..<nameEnd, value: value..<valueEnd,
            known: KnownField(name: UnsafeRawBufferPointer(rebasing: bytes[name..<nameEnd])))
    }

    /// Passes over bytes that are no control characters, eight at a time; one follows at the head's end.
    private mutating func skipVisible() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let high: UInt64 = 0x8080_8080_8080_8080
        while at + 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            // The high bit of a byte of each is set (with false alarms above a true one only) where the byte is below 0x20, or
            // 0x7f: "Bit Twiddling Hacks", Determine if a word has a byte less than n.
            let deletes = word ^ (ones &* 0x7f)
            let marks = (((word &- (ones &* 0x20)) & ~word) | ((deletes &- ones) & ~deletes)) & high
            guard marks == 0 else {
                at += UInt64(littleEndian: marks).trailingZeroBitCount >> 3
                return
            }
            at += 8
        }
        while bytes[at] >= 0x20, bytes[at] != 0x7f { at += 1 }
    }

    mutating func endOfLine() throws(HTTPFault) {
        guard bytes[at] == Self.carriageReturn, bytes[at + 1] == Self.lineFeed else {
            throw HTTPFault(400, "byte \(at + 1) of the head: a line must end with CR LF")
        }
        at += 2
    }

    /// Whether the bytes at `range` are those of a text in lower case, in any case.
    func isEqual(_ range: Range<Int>, _ lower: StaticString) -> Bool {
        guard range.count == lower.utf8CodeUnitCount else { return false }
        var index = 0
        for byte in bytes[range] {
            let folded = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
            guard folded == lower.utf8Start[index] else { return false }
            index += 1
        }
        return true
    }

    /// A length in decimal digits, and nothing else.
    func length(_ range: Range<Int>) -> Int? {
        guard !range.isEmpty, range.count <= 15 else { return nil }
        var value = 0
        for byte in bytes[range] {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }

    /// The characters of a token (RFC 9110 §5.6.2).
    static func isToken(_ byte: UInt8) -> Bool {
        let half = byte < 64 ? tokens.low : tokens.high
        return byte < 128 && half >> UInt64(byte & 63) & 1 == 1
    }

    /// A bit for each character below 64 (``! # $ % & ' * + - .`` and digits), and from there to 127 (letters, ``^ _ ` | ~``).
    private static var tokens: (low: UInt64, high: UInt64) { (0x03ff_6cfa_0000_0000, 0x57ff_ffff_c7ff_fffe) }
}

extension HeadBytes {
    /// Calls `body` with each element of a list of tokens separated by commas.
    func tokens(_ range: Range<Int>, _ body: (Range<Int>) throws(HTTPFault) -> Void) throws(HTTPFault) {
        var start = range.lowerBound
        var index = range.lowerBound
        while index <= range.upperBound {
            if index == range.upperBound || bytes[index] == UInt8(ascii: ",") {
                var low = start
                var high = index
                while low < high, bytes[low] == Self.space || bytes[low] == Self.tab { low += 1 }
                while high > low, bytes[high - 1] == Self.space || bytes[high - 1] == Self.tab { high -= 1 }
                if low < high { try body(low..<high) }
                start = index + 1
            }
            index += 1
        }
    }
}
