/// The parsed `tracestate` header (W3C Trace Context §3.3): at most 32 vendors' entries, the newest first.
package struct TraceState: Hashable, Sendable, CustomStringConvertible {
    /// One vendor's entry.
    package struct Member: Hashable, Sendable {
        package let key: String
        package let value: String
    }

    /// Bytes of the header that are passed on; the standard asks for at least 512.
    static let sizeLimit = 1_024

    package let members: [Member]

    package init() {
        members = []
    }

    /// Nil when an entry is malformed, a key occurs twice, or there are more than 32: such a header is
    /// dropped as a whole. Empty entries and space around entries are allowed. When the header is too
    /// long, entries over 128 bytes go first, then the oldest.
    package init?(_ header: String) {
        guard header.utf8.count <= 16_384 else { return nil }
        var members: [Member] = []
        var keys: Set<String> = []
        for part in header.split(separator: ",", omittingEmptySubsequences: true) {
            let entry = Self.trimmed(part)
            if entry.isEmpty { continue }
            guard let equals = entry.firstIndex(of: "=") else { return nil }
            let key = String(entry[..<equals])
            let value = String(entry[entry.index(after: equals)...])
            guard Self.isKey(key), Self.isValue(value), keys.insert(key).inserted else { return nil }
            members.append(Member(key: key, value: value))
        }
        guard members.count <= 32 else { return nil }
        self.members = Self.shortened(members)
    }

    package var isEmpty: Bool {
        members.isEmpty
    }

    package var description: String {
        members.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    }

    private static func shortened(_ members: [Member]) -> [Member] {
        func size(_ members: [Member]) -> Int {
            members.reduce(members.count - 1) { $0 + length($1) }
        }
        var kept = members
        while size(kept) > sizeLimit, let long = kept.lastIndex(where: { length($0) > 128 }) {
            kept.remove(at: long)
        }
        while size(kept) > sizeLimit {
            kept.removeLast()
        }
        return kept
    }

    private static func length(_ member: Member) -> Int {
        member.key.utf8.count + 1 + member.value.utf8.count
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }

    /// `simple-key` (256 bytes, begins with a letter) or `tenant@system` (241 and 14 bytes).
    private static func isKey(_ key: String) -> Bool {
        let parts = key.split(separator: "@", omittingEmptySubsequences: false)
        switch parts.count {
        case 1: return isKeyPart(parts[0], limit: 256, mayBeginWithDigit: false)
        case 2:
            return isKeyPart(parts[0], limit: 241, mayBeginWithDigit: true)
                && isKeyPart(parts[1], limit: 14, mayBeginWithDigit: false)
        default: return false
        }
    }

    private static func isKeyPart(_ part: Substring, limit: Int, mayBeginWithDigit: Bool) -> Bool {
        guard let first = part.utf8.first, part.utf8.count <= limit else { return false }
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard letters.contains(first) || (mayBeginWithDigit && digits.contains(first)) else { return false }
        return part.utf8.allSatisfy { letters.contains($0) || digits.contains($0) || "_-*/".utf8.contains($0) }
    }

    /// Printable ASCII without comma and equals sign, 1 to 256 bytes, no space at the end.
    private static func isValue(_ value: String) -> Bool {
        guard (1...256).contains(value.utf8.count), value.utf8.last != UInt8(ascii: " ") else { return false }
        return value.utf8.allSatisfy {
            (0x20...0x7e).contains($0) && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "=")
        }
    }
}
