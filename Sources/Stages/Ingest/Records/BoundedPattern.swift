/// A regular expression from a configuration, which must not be able to stop a worker.
///
/// The engine backtracks, so a repetition inside a repeated group can take exponential time: it is refused.
struct BoundedPattern {
    private let regex: Regex<AnyRegexOutput>

    init(_ pattern: String, path: String) throws(IngestError) {
        guard pattern.utf8.count <= 256 else { throw ParameterReader.invalid(path, "is longer than 256 bytes") }
        guard !Self.nestsRepetition(pattern) else {
            throw ParameterReader.invalid(
                path, "repeats a group that itself repeats, which can take exponential time; write it without nesting")
        }
        do {
            regex = try Regex(pattern)
        } catch {
            throw ParameterReader.invalid(path, "is no valid regular expression (\(error))")
        }
    }

    func matches(_ text: String) -> Bool {
        (try? regex.wholeMatch(in: text)) != nil
    }

    /// Whether a group that holds `*`, `+`, `{` or `|` is followed by `*`, `+` or `{`.
    static func nestsRepetition(_ pattern: String) -> Bool {
        let repeats: Set<Character> = ["*", "+", "{"]
        var groups: [Bool] = []
        var isInClass = false
        var isEscaped = false
        var closedRepeating = false
        for character in pattern {
            let afterRepeatingGroup = closedRepeating
            closedRepeating = false
            if isEscaped {
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if isInClass {
                isInClass = character != "]"
            } else if character == "[" {
                isInClass = true
            } else if character == "(" {
                groups.append(false)
            } else if character == ")" {
                let repeating = groups.popLast() ?? false
                closedRepeating = repeating
                if repeating, !groups.isEmpty { groups[groups.count - 1] = true }
            } else if repeats.contains(character) || character == "|" {
                if afterRepeatingGroup, character != "|" { return true }
                if !groups.isEmpty { groups[groups.count - 1] = true }
            }
        }
        return false
    }
}
