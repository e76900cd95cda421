/// One step that a placeholder's values go through, written after `|`.
enum TextFilter: Hashable, Sendable {
    case trim, collapse, firstSentence, lower, upper, first, last, unique, sentence
    case join(String)
    case truncate(Int)
    case fallback(String)
    case stripPrefix(String)
    case stripSuffix(String)
    case replace(String, String)

    static let names =
        "trim, collapse, first_sentence, lower, upper, first, last, unique, sentence, join:TEXT, truncate:N, "
        + "default:TEXT, strip_prefix:TEXT, strip_suffix:TEXT, replace:FROM=>TO"

    /// - Throws: What is wrong, as text.
    init(_ source: Substring) throws(TemplateFault) {
        let colon = source.firstIndex(of: ":")
        let name = source[..<(colon ?? source.endIndex)].filter { !$0.isWhitespace }
        let argument = colon.map { String(source[source.index(after: $0)...]) }
        let plain: [String: TextFilter] = [
            "trim": .trim, "collapse": .collapse, "first_sentence": .firstSentence, "lower": .lower, "upper": .upper,
            "first": .first, "last": .last, "unique": .unique, "sentence": .sentence,
        ]
        if let filter = plain[name] {
            guard argument == nil else { throw TemplateFault("the filter \"\(name)\" takes no argument") }
            self = filter
            return
        }
        guard let argument else {
            throw TemplateFault("the filter \"\(name)\" is unknown or lacks its argument; known: \(Self.names)")
        }
        switch name {
        case "join": self = .join(argument)
        case "default": self = .fallback(argument)
        case "strip_prefix": self = .stripPrefix(argument)
        case "strip_suffix": self = .stripSuffix(argument)
        case "truncate":
            guard let count = Int(argument), (1...1_000_000).contains(count) else {
                throw TemplateFault("the filter \"truncate\" needs a number of characters, not \"\(argument)\"")
            }
            self = .truncate(count)
        case "replace":
            let sides = argument.split(separator: "=>", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, !sides[0].isEmpty else {
                throw TemplateFault("the filter \"replace\" needs FROM=>TO, not \"\(argument)\"")
            }
            self = .replace(String(sides[0]), String(sides[1]))
        default: throw TemplateFault("the filter \"\(name)\" is unknown; known: \(Self.names)")
        }
    }

    func apply(_ values: [String]) -> [String] {
        switch self {
        case .first: return Array(values.prefix(1))
        case .last: return Array(values.suffix(1))
        case .unique:
            var seen: Set<String> = []
            return values.filter { seen.insert($0).inserted }
        case .join(let separator): return values.isEmpty ? [] : [values.joined(separator: separator)]
        case .fallback(let text): return values.contains { !$0.isEmpty } ? values : [text]
        default: return values.map(apply)
        }
    }

    private func apply(_ text: String) -> String {
        switch self {
        case .trim: Self.trimmed(text)
        case .collapse: text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        case .firstSentence: Self.firstSentence(of: text)
        case .lower: text.lowercased()
        case .upper: text.uppercased()
        case .sentence: Self.closed(Self.trimmed(text))
        case .truncate(let count): Self.truncated(text, to: count)
        case .stripPrefix(let prefix): text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text
        case .stripSuffix(let suffix): text.hasSuffix(suffix) ? String(text.dropLast(suffix.count)) : text
        case .replace(let from, let to):
            text.split(separator: from, omittingEmptySubsequences: false).joined(separator: to)
        case .first, .last, .unique, .join, .fallback: text
        }
    }

    static func trimmed(_ text: String) -> String {
        // Most texts have nothing to lose: they are not copied.
        if let first = text.utf8.first, let last = text.utf8.last, 0x21...0x7E ~= first, 0x21...0x7E ~= last {
            return text
        }
        guard let start = text.firstIndex(where: { !$0.isWhitespace }),
            let end = text.lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(text[start...end])
    }

    /// Up to the first `.`, `!` or `?` that white space and no lower-case letter follow.
    private static func firstSentence(of text: String) -> String {
        let text = trimmed(text)
        var index = text.startIndex
        while index < text.endIndex {
            let next = text.index(after: index)
            if ".!?".contains(text[index]) {
                let rest = text[next...]
                if rest.isEmpty { return text }
                if let first = rest.first, first.isWhitespace,
                    let word = rest.first(where: { !$0.isWhitespace }), !word.isLowercase
                {
                    return String(text[..<next])
                }
            }
            index = next
        }
        return text
    }

    private static func closed(_ text: String) -> String {
        guard let last = text.last else { return text }
        return ".!?:".contains(last) ? text : text + "."
    }

    /// Cuts between words where there are any in the second half.
    private static func truncated(_ text: String, to count: Int) -> String {
        guard text.count > count else { return text }
        let cut = text.prefix(count)
        guard let space = cut.lastIndex(where: \.isWhitespace),
            cut.distance(from: cut.startIndex, to: space) >= count / 2
        else { return String(cut) }
        return trimmed(String(cut[..<space]))
    }
}

/// What is wrong with a template, before its place is known.
struct TemplateFault: Error {
    var message: String
    init(_ message: String) { self.message = message }
}
