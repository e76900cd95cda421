/// Where and why a text is not JSON.
package struct JSONSyntaxError: Error, Hashable, CustomStringConvertible {
    /// Bytes before the place.
    package let offset: Int
    package let problem: String

    package var description: String { "byte \(offset + 1): \(problem)" }
}

extension JSONValue {
    /// Reads a JSON text (RFC 8259, UTF-8), and nothing beside it.
    ///
    /// Of members with one name the last counts. Numbers that are whole and fit in 64 bits become integers, however they
    /// are spelled.
    /// - Throws: ``JSONSyntaxError``, also for what is nested more than ``maximumDepth`` deep.
    package init(json bytes: [UInt8]) throws(JSONSyntaxError) {
        var parser = JSONParser(bytes: bytes)
        self = try parser.document()
    }

    /// Arrays and objects inside one another.
    package static let maximumDepth = 256
}

/// One pass over the bytes. Every task is several messages, and the general decoder takes many times as long.
struct JSONParser {
    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func document() throws(JSONSyntaxError) -> JSONValue {
        let value = try value()
        skipSpace()
        guard position == bytes.count else { throw problem("there is something after the value") }
        return value
    }

    // MARK: Values

    private mutating func value() throws(JSONSyntaxError) -> JSONValue {
        skipSpace()
        guard position < bytes.count else { throw problem("the text ends where a value should be") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: throw problem("no value begins like this")
        }
    }

    private mutating func object() throws(JSONSyntaxError) -> JSONValue {
        try enter()
        skipSpace()
        guard !skip(UInt8(ascii: "}")) else { return .object(leave([:])) }
        // Most objects of messages have a handful of members: one allocation instead of four.
        var members = [String: JSONValue](minimumCapacity: 8)
        while true {
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
                throw problem("a member's name should be here, in double quotes")
            }
            let name = try string()
            skipSpace()
            guard skip(UInt8(ascii: ":")) else { throw problem("a colon should be here") }
            members[name] = try value()
            skipSpace()
            if skip(UInt8(ascii: "}")) { return .object(leave(members)) }
            guard skip(UInt8(ascii: ",")) else { throw problem("a comma or a closing brace should be here") }
        }
    }

    private mutating func array() throws(JSONSyntaxError) -> JSONValue {
        try enter()
        var values: [JSONValue] = []
        skipSpace()
        guard !skip(UInt8(ascii: "]")) else { return .array(leave(values)) }
        while true {
            values.append(try value())
            skipSpace()
            if skip(UInt8(ascii: "]")) { return .array(leave(values)) }
            guard skip(UInt8(ascii: ",")) else { throw problem("a comma or a closing bracket should be here") }
        }
    }

    private mutating func enter() throws(JSONSyntaxError) {
        guard depth < JSONValue.maximumDepth else {
            throw problem("nested more than \(JSONValue.maximumDepth) deep")
        }
        depth += 1
        position += 1
    }

    private mutating func leave<Container>(_ container: Container) -> Container {
        depth -= 1
        return container
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONSyntaxError) -> JSONValue {
        for index in 0..<word.utf8CodeUnitCount {
            guard position + index < bytes.count, bytes[position + index] == word.utf8Start[index] else {
                throw problem("no value begins like this")
            }
        }
        position += word.utf8CodeUnitCount
        return value
    }

    // MARK: Numbers

    private mutating func number() throws(JSONSyntaxError) -> JSONValue {
        let start = position
        let isNegative = skip(UInt8(ascii: "-"))
        let firstDigit = position
        var magnitude: Int64 = 0
        var isExact = true
        while let digit = digit() {
            // Counted downwards, because the range goes further there.
            let (tens, isTooLong) = magnitude.multipliedReportingOverflow(by: 10)
            let (next, isTooFar) = tens.subtractingReportingOverflow(Int64(digit))
            isExact = isExact && !isTooLong && !isTooFar
            magnitude = next
        }
        guard position > firstDigit else { throw problem("a digit should be here") }
        guard position - firstDigit == 1 || bytes[firstDigit] != UInt8(ascii: "0") else {
            position = firstDigit
            throw problem("a number does not begin with 0")
        }
        if try skipFraction() || !isExact || (!isNegative && magnitude == .min) { return try double(from: start) }
        return .int(isNegative ? magnitude : -magnitude)
    }

    /// - Returns: whether there is a fraction or an exponent.
    private mutating func skipFraction() throws(JSONSyntaxError) -> Bool {
        let start = position
        if skip(UInt8(ascii: ".")) { try skipDigits() }
        if skip(UInt8(ascii: "e")) || skip(UInt8(ascii: "E")) {
            _ = skip(UInt8(ascii: "+")) || skip(UInt8(ascii: "-"))
            try skipDigits()
        }
        return position > start
    }

    private mutating func skipDigits() throws(JSONSyntaxError) {
        let start = position
        while digit() != nil {}
        guard position > start else { throw problem("a digit should be here") }
    }

    private mutating func digit() -> UInt8? {
        guard position < bytes.count, UInt8(ascii: "0")...UInt8(ascii: "9") ~= bytes[position] else { return nil }
        defer { position += 1 }
        return bytes[position] - UInt8(ascii: "0")
    }

    private func double(from start: Int) throws(JSONSyntaxError) -> JSONValue {
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        guard let value = Double(text), value.isFinite else {
            throw JSONSyntaxError(offset: start, problem: "the number \(text.prefix(40)) is too large")
        }
        // A whole number is an integer however it is spelled, where a double can tell it from its neighbours.
        if value.magnitude < 9_007_199_254_740_992, let whole = Int64(exactly: value) { return .int(whole) }
        return .double(value)
    }

    // MARK: Strings

    private mutating func string() throws(JSONSyntaxError) -> String {
        position += 1
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                defer { position += 1 }
                return try text(bytes[start..<position], at: start)
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw problem("a control character in a string must be escaped") }
            position += 1
        }
        throw problem("the text ends within a string")
    }

    private func text(_ part: ArraySlice<UInt8>, at offset: Int) throws(JSONSyntaxError) -> String {
        guard let text = String(validating: part, as: UTF8.self) else {
            throw JSONSyntaxError(offset: offset, problem: "a string that is not UTF-8")
        }
        return text
    }

    /// From its first escape on, with what came before it.
    private mutating func escapedString(from start: Int) throws(JSONSyntaxError) -> String {
        var content = bytes[start..<position]
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                return try text(content, at: start)
            case UInt8(ascii: "\\"): content.append(contentsOf: String(try escape()).utf8)
            case 0..<0x20:
                position -= 1
                throw problem("a control character in a string must be escaped")
            default: content.append(byte)
            }
        }
        throw problem("the text ends within a string")
    }

    private mutating func escape() throws(JSONSyntaxError) -> Character {
        guard position < bytes.count else { throw problem("the text ends within a string") }
        defer { position += 1 }
        switch bytes[position] {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return Character(try unicodeEscape())
        default: throw problem("a string has no such escape")
        }
    }

    /// Leaves the position on the last digit.
    private mutating func unicodeEscape() throws(JSONSyntaxError) -> Unicode.Scalar {
        let start = position - 1
        let first = try codeUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let lone = JSONSyntaxError(offset: start, problem: "half of a surrogate pair stands alone")
        guard first < 0xDC00, position + 2 < bytes.count, bytes[position + 1] == UInt8(ascii: "\\"),
            bytes[position + 2] == UInt8(ascii: "u")
        else { throw lone }
        position += 2
        let second = try codeUnit()
        guard 0xDC00...0xDFFF ~= second,
            let scalar = Unicode.Scalar(0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00))
        else { throw lone }
        return scalar
    }

    private mutating func codeUnit() throws(JSONSyntaxError) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            position += 1
            guard position < bytes.count, let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
                throw problem("four hexadecimal digits should be here")
            }
            value = value << 4 | UInt16(digit)
        }
        return value
    }

    // MARK: Bytes

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private func problem(_ text: String) -> JSONSyntaxError {
        JSONSyntaxError(offset: position, problem: text)
    }
}
