/// Reads one JSON text (RFC 8259) from bytes, strictly.
///
/// Numbers keep their text. A member name that comes twice, ill-formed UTF-8, a lone surrogate and a bare
/// control character are faults with their byte offset. Written here because the system library
/// loses numbers, hides duplicate names and does not reach the speed that streams and messages need.
package struct JSONParser {
    /// Arrays and objects inside one another, unless told otherwise.
    package static let maximumDepth = 64

    private let maximumDepth: Int
    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0
    private var depth = 0

    /// Parses all of `bytes`: one value and nothing after it but white space.
    package static func parse(
        _ bytes: UnsafeBufferPointer<UInt8>, maximumDepth: Int = Self.maximumDepth
    ) throws(JSONFault) -> RecordValue {
        var parser = JSONParser(bytes: bytes, maximumDepth: maximumDepth)
        parser.skipSpace()
        let value = try parser.value()
        parser.skipSpace()
        guard parser.at == bytes.count else {
            throw JSONFault(
                offset: parser.at, message: "\(parser.found) after the end of the value; one value is expected"
            )
        }
        return value
    }

    private init(bytes: UnsafeBufferPointer<UInt8>, maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    private mutating func value() throws(JSONFault) -> RecordValue {
        guard at < bytes.count else { throw ended("a value was expected") }
        switch bytes[at] {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
        default: throw JSONFault(offset: at, message: "\(found) where a value was expected")
        }
    }

    private mutating func object() throws(JSONFault) -> RecordValue {
        let start = at
        try enter()
        var members: [RecordValue.Member] = []
        var names: Set<String> = []
        skipSpace()
        if take(UInt8(ascii: "}")) {
            depth -= 1
            return .object(members)
        }
        while true {
            skipSpace()
            let nameStart = at
            guard at < bytes.count else { throw ended("the object opened at byte \(start + 1) is not closed") }
            guard bytes[at] == UInt8(ascii: "\"") else {
                throw JSONFault(offset: at, message: "\(found) where a member name in quotes was expected")
            }
            let name = try string()
            // A short object is compared member by member; a long one gets a set.
            if members.count == 16 { names = Set(members.map(\.key)) }
            let isKnown =
                members.count < 16 ? members.contains { $0.key == name } : !names.insert(name).inserted
            guard !isKnown else {
                throw JSONFault(offset: nameStart, message: "the member \"\(name.prefix(64))\" comes twice")
            }
            skipSpace()
            guard take(UInt8(ascii: ":")) else {
                throw at < bytes.count
                    ? JSONFault(offset: at, message: "\(found) where \":\" was expected")
                    : ended("the object opened at byte \(start + 1) is not closed")
            }
            skipSpace()
            members.append(RecordValue.Member(key: name, value: try value()))
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            if take(UInt8(ascii: "}")) { break }
            throw at < bytes.count
                ? JSONFault(offset: at, message: "\(found) where \",\" or \"}\" was expected")
                : ended("the object opened at byte \(start + 1) is not closed")
        }
        depth -= 1
        return .object(members)
    }

    private mutating func array() throws(JSONFault) -> RecordValue {
        let start = at
        try enter()
        var elements: [RecordValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) {
            depth -= 1
            return .array(elements)
        }
        while true {
            skipSpace()
            elements.append(try value())
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            if take(UInt8(ascii: "]")) { break }
            throw at < bytes.count
                ? JSONFault(offset: at, message: "\(found) where \",\" or \"]\" was expected")
                : ended("the array opened at byte \(start + 1) is not closed")
        }
        depth -= 1
        return .array(elements)
    }

    private mutating func enter() throws(JSONFault) {
        guard depth < maximumDepth else {
            throw JSONFault(offset: at, message: "more than \(maximumDepth) arrays and objects inside one another")
        }
        depth += 1
        at += 1
    }

    private mutating func literal(_ word: StaticString, _ value: RecordValue) throws(JSONFault) -> RecordValue {
        let start = at
        for index in 0..<word.utf8CodeUnitCount {
            guard at < bytes.count else { throw ended("\"\(word)\" is cut short") }
            guard bytes[at] == word.utf8Start[index] else {
                throw JSONFault(offset: start, message: "a word that is not true, false or null; strings need quotes")
            }
            at += 1
        }
        return value
    }

    private mutating func number() throws(JSONFault) -> String {
        let start = at
        _ = take(UInt8(ascii: "-"))
        if take(UInt8(ascii: "0")) {
            if at < bytes.count, Self.isDigit(bytes[at]) {
                throw JSONFault(offset: start, message: "a number with a leading zero")
            }
        } else {
            try digits(from: start)
        }
        if take(UInt8(ascii: ".")) { try digits(from: start) }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits(from: start)
        }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private mutating func digits(from start: Int) throws(JSONFault) {
        guard at < bytes.count else { throw ended("the number that begins at byte \(start + 1) is cut short") }
        guard Self.isDigit(bytes[at]) else {
            throw JSONFault(offset: at, message: "\(found) in a number where a digit was expected")
        }
        while at < bytes.count, Self.isDigit(bytes[at]) { at += 1 }
    }

    /// Reads a string whose opening quote is at `at`.
    private mutating func string() throws(JSONFault) -> String {
        let opening = at
        at += 1
        let start = at
        var isASCII = true
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") {
                let content = UnsafeBufferPointer(rebasing: bytes[start..<at])
                at += 1
                return try text(content, at: start, isASCII: isASCII)
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(opening: opening, from: start) }
            guard byte >= 0x20 else { throw controlCharacter(byte) }
            if byte >= 0x80 { isASCII = false }
            at += 1
        }
        if let fault = UTF8Check.firstFault(in: UnsafeBufferPointer(rebasing: bytes[start..<at])), !fault.isAtEnd {
            throw encodingFault(at: start + fault.offset)
        }
        throw ended("the string opened at byte \(opening + 1) is not closed")
    }

    private mutating func escapedString(opening: Int, from start: Int) throws(JSONFault) -> String {
        var content: [UInt8] = []
        var runStart = start
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                let run = UnsafeBufferPointer(rebasing: bytes[runStart..<at])
                if let fault = UTF8Check.firstFault(in: run) { throw encodingFault(at: runStart + fault.offset) }
                content.append(contentsOf: run)
                at += 1
                if byte == UInt8(ascii: "\"") { return String(decoding: content, as: UTF8.self) }
                try escape(into: &content)
                runStart = at
                continue
            }
            guard byte >= 0x20 else { throw controlCharacter(byte) }
            at += 1
        }
        if let fault = UTF8Check.firstFault(in: UnsafeBufferPointer(rebasing: bytes[runStart..<at])), !fault.isAtEnd {
            throw encodingFault(at: runStart + fault.offset)
        }
        throw ended("the string opened at byte \(opening + 1) is not closed")
    }

    /// Reads what follows a backslash.
    private mutating func escape(into content: inout [UInt8]) throws(JSONFault) {
        let start = at - 1
        guard at < bytes.count else { throw ended("an escape is cut short") }
        let kind = bytes[at]
        at += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(kind)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0C)
        case UInt8(ascii: "n"): content.append(0x0A)
        case UInt8(ascii: "r"): content.append(0x0D)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if (0xD800..<0xDC00).contains(code) {
                guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
                    if at >= bytes.count { throw ended("a surrogate pair is cut short") }
                    throw JSONFault(offset: start, message: "a high surrogate without its low one")
                }
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else {
                    throw JSONFault(offset: start, message: "a high surrogate without its low one")
                }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else {
                throw JSONFault(offset: start, message: "a low surrogate without its high one")
            }
            content.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        default:
            throw JSONFault(offset: start, message: "an unknown escape; a backslash itself is written \"\\\\\"")
        }
    }

    private mutating func hexadecimal() throws(JSONFault) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard at < bytes.count else { throw ended("a \\u escape is cut short") }
            guard let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue else {
                throw JSONFault(offset: at, message: "\(found) in a \\u escape; four hexadecimal digits were expected")
            }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }

    private func text(
        _ content: UnsafeBufferPointer<UInt8>, at offset: Int, isASCII: Bool
    ) throws(JSONFault) -> String {
        if isASCII { return String(decoding: content, as: UTF8.self) }
        if let text = String(validating: content, as: UTF8.self) { return text }
        throw encodingFault(at: offset + (UTF8Check.firstFault(in: content)?.offset ?? 0))
    }

    private mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case 0x20, 0x09, 0x0A, 0x0D: at += 1
            default: return
            }
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard at < bytes.count, bytes[at] == byte else { return false }
        at += 1
        return true
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    private func ended(_ message: String) -> JSONFault {
        JSONFault(offset: bytes.count, message: "the text ends too early: \(message)", isAtEnd: true)
    }

    private func encodingFault(at offset: Int) -> JSONFault {
        JSONFault(
            offset: offset,
            message: "not UTF-8 (byte 0x\(String(bytes[offset], radix: 16))); convert it to UTF-8",
            rule: "encoding")
    }

    private func controlCharacter(_ byte: UInt8) -> JSONFault {
        JSONFault(
            offset: at,
            message: "a bare control character (0x\(String(byte, radix: 16))) in a string; write it as \\u00XX")
    }

    /// The byte at `at`, for a message.
    private var found: String {
        guard at < bytes.count else { return "the end" }
        let byte = bytes[at]
        guard (0x21..<0x7F).contains(byte) else { return "byte 0x\(String(byte, radix: 16))" }
        return "\"\(Character(Unicode.Scalar(byte)))\""
    }
}
