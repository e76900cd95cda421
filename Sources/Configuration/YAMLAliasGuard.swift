/// Refuses, before the parser sees it, the one use of aliases that the parser cannot bound: a list or a mapping as
/// a key. Keys are hashed whole, and a few nested aliases make that take for ever.
enum YAMLAliasGuard {
    static func check(_ text: String, file: String) throws(ConfigurationError) {
        guard hasAnchorAndAlias(text) else { return }
        var line = 0
        for content in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            line += 1
            guard let offset = compositeKey(in: Array(content)) else { continue }
            throw ConfigurationError(
                .malformed, source: file, at: SourcePosition(line: line, column: offset + 1),
                "in a file with aliases a key must be a plain text: name the key, or put quotes around it")
        }
    }

    /// Whether some `*name` may stand for some `&name`.
    private static func hasAnchorAndAlias(_ text: String) -> Bool {
        var hasAnchor = false
        var hasAlias = false
        var previous = UInt8(ascii: "\n")
        let openers = Set(" \t\r\n[{,-:?".utf8)
        for byte in text.utf8 {
            if openers.contains(previous) {
                hasAnchor = hasAnchor || byte == UInt8(ascii: "&")
                hasAlias = hasAlias || byte == UInt8(ascii: "*")
            }
            previous = byte
        }
        return hasAnchor && hasAlias
    }

    /// The offset of `*a:`, `*a :`, `]:`, `}:` or a leading `?` in a line, quoted texts excepted.
    private static func compositeKey(in line: [UInt8]) -> Int? {
        let blank: Set<UInt8> = [UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r")]
        let bare = withoutQuotes(line)
        if let first = bare.firstIndex(where: { !blank.contains($0) && $0 != UInt8(ascii: "-") }),
            bare[first] == UInt8(ascii: "?"), first + 1 == bare.count || blank.contains(bare[first + 1])
        {
            return first
        }
        for (index, byte) in bare.enumerated() where byte == UInt8(ascii: ":") {
            guard let last = bare[..<index].lastIndex(where: { !blank.contains($0) }) else { continue }
            if bare[last] == UInt8(ascii: "]") || bare[last] == UInt8(ascii: "}") { return last }
            let stops = Set(" \t\r,[]{}".utf8)
            let start = bare[...last].lastIndex(where: stops.contains).map { $0 + 1 } ?? 0
            if start <= last, bare[start] == UInt8(ascii: "*") { return start }
        }
        return nil
    }

    /// The line with everything between quotes made harmless.
    private static func withoutQuotes(_ line: [UInt8]) -> [UInt8] {
        var bare = line
        var quote: UInt8?
        let openers = Set(" \t[{,:-".utf8)
        for (index, byte) in line.enumerated() {
            if let open = quote {
                if byte == open { quote = nil }
                bare[index] = UInt8(ascii: "x")
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'"),
                index == 0 || openers.contains(line[index - 1])
            {
                quote = byte
                bare[index] = UInt8(ascii: "x")
            }
        }
        return bare
    }
}
