/// How things may be called. Names become queue names, object keys and URL paths, so they are plain ASCII.
package enum NameRule {
    static let longest = 63

    /// Lower-case letters, digits and dashes, a letter or digit at both ends.
    package static func isPipeline(_ name: String) -> Bool {
        isPlain(name, alsoInside: [UInt8(ascii: "-")])
    }

    /// As a pipeline's name; underscores as well. Stages, kinds, pools and schedules.
    package static func isStage(_ name: String) -> Bool {
        isPlain(name, alsoInside: [UInt8(ascii: "-"), UInt8(ascii: "_")])
    }

    /// A letter or an underscore, then letters, digits, `_` and `-`.
    package static func isParameter(_ name: some StringProtocol) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= longest else { return false }
        let start = isLower(first) || isUpper(first) || first == UInt8(ascii: "_")
        return start
            && name.utf8.allSatisfy {
                isLower($0) || isUpper($0) || isDigit($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
            }
    }

    /// Says how a stage, a pool or a schedule may be called.
    static func refusal(of name: String, as role: String) -> String {
        "\"\(name.prefix(80))\" cannot be \(role): use lower-case letters, digits, - and _, at most 63, "
            + "with a letter or a digit at both ends"
    }

    private static func isPlain(_ name: String, alsoInside inner: [UInt8]) -> Bool {
        guard let first = name.utf8.first, let last = name.utf8.last, name.utf8.count <= longest else { return false }
        guard isLower(first) || isDigit(first), isLower(last) || isDigit(last) else { return false }
        return name.utf8.allSatisfy { isLower($0) || isDigit($0) || inner.contains($0) }
    }

    private static func isLower(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
    private static func isUpper(_ byte: UInt8) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
