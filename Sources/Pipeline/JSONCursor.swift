/// Walks over a JSON text (RFC 8259) without making values of it: for texts that are passed on, of which only a few
/// members are needed.
///
/// As strict as `JSONParser`, but for names: whoever reads members says which may not come twice.
package struct JSONCursor {
    /// A string's content, between its quotes.
    package struct Text {
        /// The bytes as they are written.
        package let range: Range<Int>
        /// Whether nothing in it is escaped, so that the bytes are the text.
        package let isPlain: Bool
    }

    package let bytes: UnsafeRawBufferPointer
    /// The next byte to read.
    package private(set) var at: Int
    private let maximumDepth: Int

    /// - Parameter maximumDepth: arrays and objects inside one another, 64 at most.
    package init(_ bytes: UnsafeRawBufferPointer, at: Int = 0, maximumDepth: Int = JSONParser.maximumDepth) {
        self.bytes = bytes
        self.at = at
        self.maximumDepth = min(maximumDepth, 64)
    }

    /// The next byte that is no white space; nil at the end.
    package mutating func peek() -> UInt8? {
        while at < bytes.count {
            let byte = bytes[at]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return byte }
            at += 1
        }
        return nil
    }

    /// Reads one byte, which must be the next after white space.
    package mutating func take(_ byte: UInt8) throws(JSONFault) {
        guard peek() == byte else { throw unexpected("\"\(Character(Unicode.Scalar(byte)))\"") }
        at += 1
    }

    /// Reads one byte if it is the next after white space.
    package mutating func takes(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        at += 1
        return true
    }

    /// Makes sure that nothing but white space follows.
    package mutating func end() throws(JSONFault) {
        guard peek() == nil else {
            throw JSONFault(offset: at, message: "something follows the end of the value; one value is expected")
        }
    }

    /// Begins an object.
    /// - Returns: whether it has members; then `memberName` follows.
    package mutating func beginObject() throws(JSONFault) -> Bool {
        try take(UInt8(ascii: "{"))
        return !takes(UInt8(ascii: "}"))
    }

    /// Reads a member's name and its colon; the value follows.
    package mutating func memberName() throws(JSONFault) -> Text {
        let name = try text()
        try take(UInt8(ascii: ":"))
        return name
    }

    /// After a member's value: whether another member follows, or the object is over.
    package mutating func hasNextMember() throws(JSONFault) -> Bool {
        if takes(UInt8(ascii: ",")) { return true }
        guard takes(UInt8(ascii: "}")) else { throw unexpected("\",\" or \"}\"") }
        return false
    }

    /// Reads a string.
    package mutating func text() throws(JSONFault) -> Text {
        guard peek() == UInt8(ascii: "\"") else { throw unexpected("a string in quotes") }
        let opening = at
        at += 1
        var isPlain = true
        var isASCII = true
        while true {
            skipPlain()
            guard at < bytes.count else {
                throw JSONFault(
                    offset: bytes.count,
                    message: "the text ends too early: the string opened at byte \(opening + 1) is not closed",
                    isAtEnd: true)
            }
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "\""):
                let range = opening + 1..<at
                at += 1
                if !isASCII { try checkEncoding(range) }
                return Text(range: range, isPlain: isPlain)
            case UInt8(ascii: "\\"):
                isPlain = false
                try escape()
            case 0x80...:
                isASCII = false
                at += 1
            default:
                throw JSONFault(
                    offset: at,
                    message: "a bare control character (0x\(String(byte, radix: 16))) in a string; write it as \\u00XX")
            }
        }
    }

    /// Passes over one value of any kind.
    /// - Returns: where it lies.
    @discardableResult
    package mutating func skipValue() throws(JSONFault) -> Range<Int> {
        _ = peek()
        let start = at
        // A bit for each open array or object, 1 for an object; the last one is the lowest.
        var kinds: UInt64 = 0
        var depth = 0
        while true {
            if try beginsContainer(&kinds, &depth) { continue }
            // A value is complete: close what it ends.
            while depth > 0 {
                let isObject = kinds & 1 == 1
                if takes(UInt8(ascii: ",")) {
                    if isObject { _ = try memberName() }
                    break
                }
                try take(isObject ? UInt8(ascii: "}") : UInt8(ascii: "]"))
                kinds >>= 1
                depth -= 1
            }
            if depth == 0 { return start..<at }
        }
    }

    /// Passes over a value without parts, or over the opening of one that has some.
    /// - Returns: whether a value must follow, because an array or object with content was opened.
    private mutating func beginsContainer(_ kinds: inout UInt64, _ depth: inout Int) throws(JSONFault) -> Bool {
        guard let byte = peek() else { throw unexpected("a value") }
        switch byte {
        case UInt8(ascii: "\""): _ = try text()
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard depth < maximumDepth else {
                throw JSONFault(
                    offset: at, message: "more than \(maximumDepth) arrays and objects inside one another")
            }
            at += 1
            let isObject = byte == UInt8(ascii: "{")
            if takes(isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) { return false }
            kinds = kinds << 1 | (isObject ? 1 : 0)
            depth += 1
            if isObject { _ = try memberName() }
            return true
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        default: try number()
        }
        return false
    }

    private mutating func literal(_ word: StaticString) throws(JSONFault) {
        let start = at
        for index in 0..<word.utf8CodeUnitCount {
            guard at < bytes.count, bytes[at] == word.utf8Start[index] else {
                throw JSONFault(
                    offset: start, message: "a word that is not true, false or null; strings need quotes",
                    isAtEnd: at >= bytes.count)
            }
            at += 1
        }
    }

    private mutating func number() throws(JSONFault) {
        let start = at
        if next == UInt8(ascii: "-") { at += 1 }
        if next == UInt8(ascii: "0") {
            at += 1
            if let digit = next, Self.isDigit(digit) {
                throw JSONFault(offset: start, message: "a number with a leading zero")
            }
        } else {
            try digits()
        }
        if next == UInt8(ascii: ".") {
            at += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            at += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
            try digits()
        }
    }

    private mutating func digits() throws(JSONFault) {
        guard let digit = next, Self.isDigit(digit) else { throw unexpected("a value, or a digit of a number") }
        while let digit = next, Self.isDigit(digit) { at += 1 }
    }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// Passes over bytes of a string that mean themselves, sixteen at a time.
    private mutating func skipPlain() {
        while at + 16 <= bytes.count {
            let first = Self.marks(bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            let second = Self.marks(bytes.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self))
            guard first | second == 0 else {
                at += first == 0 ? 8 + Self.firstMark(second) : Self.firstMark(first)
                return
            }
            at += 16
        }
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 || byte >= 0x80 { return }
            at += 1
        }
    }

    /// The high bit of a byte of each is set (with false alarms above a true one only) where the byte is a quote, a backslash,
    /// below 0x20, or not ASCII: "Bit Twiddling Hacks", Determine if a word has a byte less than n.
    private static func marks(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quotes = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
        let backslashes = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
        let special =
            ((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes) | ((word &- (ones &* 0x20)) & ~word)
            | word
        return special & 0x8080_8080_8080_8080
    }

    /// The place of the first byte that is marked.
    private static func firstMark(_ marks: UInt64) -> Int { UInt64(littleEndian: marks).trailingZeroBitCount >> 3 }

    /// Passes over a backslash and what belongs to it.
    private mutating func escape() throws(JSONFault) {
        let start = at
        guard at + 1 < bytes.count else { throw cut("an escape", start) }
        switch bytes[at + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            at += 2
        case UInt8(ascii: "u"):
            let code = try hexadecimal(at: start)
            at += 6
            if (0xDC00..<0xE000).contains(code) {
                throw JSONFault(offset: start, message: "a low surrogate without its high one")
            }
            guard (0xD800..<0xDC00).contains(code) else { return }
            guard at + 1 < bytes.count else { throw cut("a surrogate pair", start) }
            guard bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u"),
                (0xDC00..<0xE000).contains(try hexadecimal(at: at))
            else { throw JSONFault(offset: start, message: "a high surrogate without its low one") }
            at += 6
        default:
            throw JSONFault(offset: start, message: "an unknown escape; a backslash itself is written \"\\\\\"")
        }
    }

    /// The code of the `\uXXXX` at a place.
    private func hexadecimal(at start: Int) throws(JSONFault) -> UInt32 {
        guard start + 6 <= bytes.count else { throw cut("a \\u escape", start) }
        var code: UInt32 = 0
        for byte in bytes[start + 2..<start + 6] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw JSONFault(offset: start, message: "four hexadecimal digits are expected after \\u")
            }
            code = code << 4 | UInt32(digit)
        }
        return code
    }

    private func checkEncoding(_ range: Range<Int>) throws(JSONFault) {
        let fault = bytes[range].withContiguousStorageIfAvailable { UTF8Check.firstFault(in: $0) }
        guard let fault = fault ?? nil else { return }
        throw JSONFault(
            offset: range.lowerBound + fault.offset,
            message:
                "not UTF-8 (byte 0x\(String(bytes[range.lowerBound + fault.offset], radix: 16))); convert it to UTF-8",
            rule: "encoding")
    }

    private func cut(_ what: String, _ start: Int) -> JSONFault {
        JSONFault(offset: start, message: "the text ends too early: \(what) is cut short", isAtEnd: true)
    }

    /// A fault at the next byte.
    package func unexpected(_ expected: String) -> JSONFault {
        guard at < bytes.count else {
            return JSONFault(
                offset: bytes.count, message: "the text ends too early: \(expected) was expected", isAtEnd: true)
        }
        let byte = bytes[at]
        let found =
            (0x21..<0x7F).contains(byte)
            ? "\"\(Character(Unicode.Scalar(byte)))\"" : "byte 0x\(String(byte, radix: 16))"
        return JSONFault(offset: at, message: "\(found) where \(expected) was expected")
    }
}
