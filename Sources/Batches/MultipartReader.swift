import CLinux
import Glibc

/// What is wrong with a form.
package struct MultipartFault: Error, Equatable, CustomStringConvertible {
    package let description: String
}

/// Reads `multipart/form-data` (RFC 7578) as it comes: one part after another, and of each its content piece by piece.
package actor MultipartReader {
    package struct Part: Hashable, Sendable {
        package let name: String
        /// Nil where it is no file.
        package let filename: String?
    }

    private enum Place {
        case beforePart
        case inPart
        case afterLast
    }

    /// Bytes of a part's header fields.
    private static let headLimit = 8_192
    private static let endOfHead: [UInt8] = Array("\r\n\r\n".utf8)

    private let source: @Sendable () async throws -> [UInt8]?
    private let delimiter: [UInt8]
    /// What came and is not passed on; a delimiter needs a line's end before it, which the first one gets from here.
    private var buffer: [UInt8] = Array("\r\n".utf8)
    private var at = 0
    private var place = Place.beforePart
    private var isAtEnd = false

    /// - Parameters:
    ///   - boundary: as the type of the whole says it.
    ///   - source: the bytes; nil at their end.
    package init(boundary: String, source: @escaping @Sendable () async throws -> [UInt8]?) {
        delimiter = Array("\r\n--\(boundary)".utf8)
        self.source = source
    }

    /// The boundary in a `Content-Type`; nil where it is no form.
    package static func boundary(in type: String) -> String? {
        let parts = type.split(separator: ";", omittingEmptySubsequences: false)
        guard parts.first?.trimmed.lowercased() == "multipart/form-data" else { return nil }
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, pair[0].trimmed.lowercased() == "boundary" else { continue }
            var value = pair[1].trimmed
            if value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") { value = value.dropFirst().dropLast() }
            guard (1...70).contains(value.utf8.count) else { return nil }
            return String(value)
        }
        return nil
    }

    /// Goes on to the next part; what was not read of the one before is passed over.
    /// - Returns: nil after the last one.
    package func nextPart() async throws -> Part? {
        while try await nextPiece() != nil {}
        guard place == .beforePart else { return nil }
        // What stands before the first delimiter belongs to no part.
        while true {
            if let found = find(delimiter, from: at) {
                at = found + delimiter.count
                break
            }
            at = max(at, buffer.count - delimiter.count + 1)
            guard try await more() else { throw Self.cut }
        }
        while buffer.count - at < 2 { guard try await more() else { throw Self.cut } }
        if buffer[at] == UInt8(ascii: "-"), buffer[at + 1] == UInt8(ascii: "-") {
            place = .afterLast
            return nil
        }
        // One that has no fields of its own begins with its empty line at once.
        var end = find(Self.endOfHead, from: at)
        while end == nil {
            guard buffer.count - at <= Self.headLimit else {
                throw MultipartFault(description: "a part of the form has more than \(Self.headLimit) bytes of fields")
            }
            guard try await more() else { throw Self.cut }
            end = find(Self.endOfHead, from: at)
        }
        guard let end, end - at <= Self.headLimit else {
            throw MultipartFault(description: "a part of the form has more than \(Self.headLimit) bytes of fields")
        }
        let head = String(decoding: buffer[at..<end], as: UTF8.self)
        // The line's end of the last field may be that of a delimiter too: the content may be empty.
        at = end + 2
        guard let part = Self.part(head) else {
            throw MultipartFault(
                description: "a part of the form does not say its name: Content-Disposition: form-data; name=\"…\"")
        }
        place = .inPart
        isFresh = true
        return part
    }

    /// Whether the line's end before a part's content is still in front.
    private var isFresh = false

    /// The next bytes of the part; nil at its end.
    package func nextPiece() async throws -> [UInt8]? {
        guard place == .inPart else { return nil }
        while true {
            if let found = find(delimiter, from: at) {
                let start = isFresh && found > at ? at + 2 : at
                let piece = Array(buffer[min(start, found)..<found])
                isFresh = false
                at = found
                place = .beforePart
                return piece.isEmpty ? nil : piece
            }
            // The last bytes may be the beginning of a delimiter.
            let end = buffer.count - delimiter.count + 1
            let start = isFresh ? at + 2 : at
            if end > start {
                let piece = Array(buffer[start..<end])
                isFresh = false
                at = end
                return piece
            }
            guard try await more() else { throw Self.cut }
        }
    }

    /// The whole part as a text.
    package func text(upTo limit: Int) async throws -> String {
        var bytes: [UInt8] = []
        while let piece = try await nextPiece() {
            bytes += piece
            guard bytes.count <= limit else {
                throw MultipartFault(description: "a field of the form has more than \(limit) bytes")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw MultipartFault(description: "a field of the form is not UTF-8")
        }
        return text
    }

    private static let cut = MultipartFault(description: "the form ends before its last boundary")

    private func more() async throws -> Bool {
        if at > 0 {
            buffer.removeFirst(at)
            at = 0
        }
        guard !isAtEnd else { return false }
        guard let piece = try await source() else {
            isAtEnd = true
            return false
        }
        buffer += piece
        return true
    }

    private func find(_ needle: [UInt8], from start: Int) -> Int? {
        buffer.withUnsafeBytes { bytes -> Int? in
            guard let base = bytes.baseAddress, start <= bytes.count else { return nil }
            return needle.withUnsafeBytes { needle -> Int? in
                guard let first = needle.baseAddress,
                    let found = memmem(base + start, bytes.count - start, first, needle.count)
                else { return nil }
                return UnsafeRawPointer(found) - base
            }
        }
    }

    private static func part(_ head: String) -> Part? {
        for line in head.split(separator: "\r\n") {
            guard let colon = line.firstIndex(of: ":"),
                line[..<colon].trimmed.lowercased() == "content-disposition"
            else { continue }
            var name: String?
            var filename: String?
            for (key, value) in parameters(line[line.index(after: colon)...]) {
                switch key {
                case "name": name = value
                case "filename": filename = value
                default: break
                }
            }
            return name.map { Part(name: $0, filename: filename) }
        }
        return nil
    }

    /// Those of `form-data; name="a"; filename="b"`; quotes and line ends are escaped with % (WHATWG), or a quote with a
    /// backslash.
    private static func parameters(_ text: Substring) -> [(String, String)] {
        var found: [(String, String)] = []
        var rest = text
        while let semicolon = rest.firstIndex(of: ";") {
            rest = rest[rest.index(after: semicolon)...]
            guard let equals = rest.firstIndex(of: "=") else { break }
            let key = rest[..<equals].trimmed.lowercased()
            rest = rest[rest.index(after: equals)...].drop { $0 == " " || $0 == "\t" }
            var value = ""
            if rest.first == "\"" {
                rest = rest.dropFirst()
                while let character = rest.popFirst(), character != "\"" {
                    if character == "\\", let escaped = rest.first, escaped == "\"" || escaped == "\\" {
                        value.append(rest.removeFirst())
                    } else {
                        value.append(character)
                    }
                }
            } else {
                value = String(rest.prefix { $0 != ";" }.trimmed)
            }
            found.append((key, value.replacing("%22", with: "\"")))
        }
        return found
    }
}

extension Substring {
    /// Without the blanks around it.
    fileprivate var trimmed: Substring {
        let start = drop { $0 == " " || $0 == "\t" }
        guard let last = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return start[...last]
    }
}
