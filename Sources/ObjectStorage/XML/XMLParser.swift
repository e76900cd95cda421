/// Reads the XML that S3 answers with: elements, text, CDATA, the predefined and numeric entities.
///
/// Attributes, comments and processing instructions are skipped; a document type declaration is
/// refused, and with it every custom entity. Depth is bounded; the caller bounds the size.
struct XMLParser {
    /// Where and why a document could not be read.
    struct Failure: Error, CustomStringConvertible {
        let offset: Int
        let reason: String
        var description: String { "malformed XML at byte \(offset): \(reason)" }
    }

    static let deepest = 32

    private let bytes: [UInt8]
    private var position = 0

    static func parse(_ bytes: [UInt8]) throws -> XMLNode {
        var parser = XMLParser(bytes: bytes)
        if parser.starts(with: "\u{FEFF}") { parser.position += 3 }
        try parser.skipMisc()
        let root = try parser.element(depth: 1)
        try parser.skipMisc()
        guard parser.position == parser.bytes.count else { throw parser.failure("text after the root element") }
        return root
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private mutating func element(depth: Int) throws -> XMLNode {
        guard depth <= Self.deepest else { throw failure("nested more than \(Self.deepest) deep") }
        guard peek == UInt8(ascii: "<") else { throw failure("expected an element") }
        position += 1
        let qualified = try name()
        var node = XMLNode(name: Self.local(qualified))
        try skipAttributes()
        if starts(with: "/>") {
            position += 2
            return node
        }
        guard peek == UInt8(ascii: ">") else { throw failure("expected '>' after <\(qualified)") }
        position += 1
        var text: [UInt8] = []
        while true {
            guard let byte = peek else { throw failure("<\(qualified)> is not closed") }
            if starts(with: "</") {
                position += 2
                let closing = try name()
                guard closing == qualified else { throw failure("</\(closing)> closes <\(qualified)>") }
                skipBlanks()
                guard peek == UInt8(ascii: ">") else { throw failure("expected '>' after </\(closing)") }
                position += 1
                node.text = String(decoding: text, as: UTF8.self)
                return node
            } else if starts(with: "<![CDATA[") {
                position += 9
                text.append(contentsOf: try upTo("]]>"))
            } else if starts(with: "<!--") {
                position += 4
                _ = try upTo("-->")
            } else if starts(with: "<?") {
                position += 2
                _ = try upTo("?>")
            } else if byte == UInt8(ascii: "<") {
                node.children.append(try element(depth: depth + 1))
            } else if byte == UInt8(ascii: "&") {
                try entity(into: &text)
            } else {
                text.append(byte)
                position += 1
            }
        }
    }

    private mutating func entity(into text: inout [UInt8]) throws {
        position += 1
        let start = position
        let limit = min(bytes.count, start + 12)
        guard let end = bytes[start..<limit].firstIndex(of: UInt8(ascii: ";")) else {
            throw failure("an ampersand without an entity")
        }
        let reference = String(decoding: bytes[start..<end], as: UTF8.self)
        switch reference {
        case "lt": text.append(UInt8(ascii: "<"))
        case "gt": text.append(UInt8(ascii: ">"))
        case "amp": text.append(UInt8(ascii: "&"))
        case "quot": text.append(UInt8(ascii: "\""))
        case "apos": text.append(UInt8(ascii: "'"))
        default:
            let number: UInt32? =
                if reference.hasPrefix("#x") {
                    UInt32(reference.dropFirst(2), radix: 16)
                } else if reference.hasPrefix("#") {
                    UInt32(reference.dropFirst())
                } else {
                    nil
                }
            guard let number, let scalar = Unicode.Scalar(number) else {
                throw failure("unknown entity &\(reference);")
            }
            text.append(contentsOf: String(scalar).utf8)
        }
        position = end + 1
    }

    private mutating func skipMisc() throws {
        while true {
            skipBlanks()
            if starts(with: "<?") {
                _ = try upTo("?>")
            } else if starts(with: "<!--") {
                _ = try upTo("-->")
            } else if starts(with: "<!") {
                throw failure("a document type declaration is not accepted")
            } else {
                return
            }
        }
    }

    private mutating func skipAttributes() throws {
        while true {
            skipBlanks()
            guard let byte = peek else { throw failure("a tag is not closed") }
            if byte == UInt8(ascii: ">") || byte == UInt8(ascii: "/") { return }
            _ = try name()
            skipBlanks()
            guard peek == UInt8(ascii: "=") else { throw failure("an attribute without a value") }
            position += 1
            skipBlanks()
            guard let quote = peek, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else {
                throw failure("an attribute's value without quotes")
            }
            position += 1
            guard let end = bytes[position...].firstIndex(of: quote) else {
                throw failure("an attribute's value is not closed")
            }
            position = end + 1
        }
    }

    private mutating func name() throws -> String {
        let start = position
        while let byte = peek, !Self.endsName(byte) { position += 1 }
        guard position > start else { throw failure("expected a name") }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func upTo(_ terminator: String) throws -> ArraySlice<UInt8> {
        let start = position
        while position < bytes.count {
            if starts(with: terminator) {
                let found = bytes[start..<position]
                position += terminator.utf8.count
                return found
            }
            position += 1
        }
        throw failure("'\(terminator)' is missing")
    }

    private mutating func skipBlanks() {
        while let byte = peek, byte == 32 || (9...13).contains(byte) { position += 1 }
    }

    private func starts(with prefix: String) -> Bool {
        bytes[position...].starts(with: prefix.utf8)
    }

    private var peek: UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    private func failure(_ reason: String) -> Failure {
        Failure(offset: position, reason: reason)
    }

    private static func endsName(_ byte: UInt8) -> Bool {
        byte <= 32 || [">", "/", "=", "<"].contains(Character(Unicode.Scalar(byte)))
    }

    private static func local(_ qualified: String) -> String {
        qualified.split(separator: ":").last.map(String.init) ?? qualified
    }
}
