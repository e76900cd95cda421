/// Why an attempt failed, as the ledger keeps it and people read it.
package struct Failure: Hashable, Sendable, Codable {
    package enum Class: String, Hashable, Sendable, Codable, CaseIterable {
        /// The same attempt may succeed later: a server was away, a limit was hit.
        case retryable
        /// Trying again cannot help: the input or the configuration is wrong.
        case permanent
        /// The task breaks whoever takes it: it cannot be decoded, or its workers keep dying.
        case poison
        /// The machine was too small (memory); tried again once with smaller settings.
        case resource
        /// The worker vanished with the lease.
        case lost
        case timeout
        case cancelled
    }

    package var `class`: Class
    /// A stable word for programs, such as `s3.access_denied` or `ingest.missing_column`.
    package var code: String
    /// For people: names the input, the place, what is wrong and what to do. No secrets.
    package var message: String
    package var details: JSONValue?

    package init(class: Class, code: String, message: String, details: JSONValue? = nil) {
        self.class = `class`
        self.code = code
        self.message = message
        self.details = details
    }

    /// Sixteen hexadecimal digits that are equal for the same kind of failure of the same stage kind:
    /// numbers, hexadecimal ids and quoted parts of the message do not count.
    package func fingerprint(stageKind: String) -> String {
        let hash = FNV1a.hash(stageKind + "\u{1F}" + code + "\u{1F}" + Self.generalise(message))
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The message without what differs between two occurrences of one fault.
    static func generalise(_ message: String) -> String {
        var words: [String] = []
        for word in withoutQuotes(message.prefix(2_000)).split(whereSeparator: \.isWhitespace) {
            let hasDigit = word.unicodeScalars.contains { ("0"..."9").contains($0) }
            // A word with a digit, a path or a URL is a particular, not the kind of fault.
            words.append(hasDigit || word.contains("/") ? "#" : String(word))
        }
        return words.joined(separator: " ")
    }

    /// Puts `#` for what stands between double quotes or backquotes; a quote that is never closed stays.
    private static func withoutQuotes(_ text: Substring) -> String {
        var result = ""
        var rest = text
        while let start = rest.firstIndex(where: { closings[$0] != nil }) {
            result += rest[..<start]
            let inside = rest[rest.index(after: start)...]
            if let closing = closings[rest[start]], let end = inside.firstIndex(of: closing) {
                result += "#"
                rest = inside[inside.index(after: end)...]
            } else {
                result.append(rest[start])
                rest = inside
            }
        }
        return result + rest
    }

    private static let closings: [Character: Character] = ["\"": "\"", "`": "`", "“": "”"]
}

/// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/): for grouping, never for security.
enum FNV1a {
    static func hash(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        return hash
    }
}
