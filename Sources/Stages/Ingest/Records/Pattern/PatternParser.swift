/// Reads the part of regular-expression syntax that can be matched in linear time.
struct PatternParser {
    static let syntax =
        "known are characters, ., [classes], \\d \\w \\s \\D \\W \\S, (groups), |, *, +, ?, {n,m}, ^ at the start, $ at the "
        + "end and (?i) at the start"

    private var rest: Substring.UnicodeScalarView

    /// - Returns: the expression, and whether letter case counts.
    static func parse(_ pattern: String) throws(PatternFault) -> (node: PatternNode, ignoresCase: Bool) {
        var text = pattern[...]
        let ignoresCase = text.hasPrefix("(?i)")
        if ignoresCase { text = text.dropFirst(4) }
        if text.hasPrefix("^") { text = text.dropFirst() }
        // The whole text must match anyway. A `$` behind an odd number of backslashes is a dollar sign.
        let isEscaped = text.dropLast().reversed().prefix { $0 == "\\" }.count % 2 == 1
        if text.hasSuffix("$"), !isEscaped { text = text.dropLast() }
        var parser = PatternParser(rest: text.unicodeScalars)
        let node = try parser.alternatives()
        guard parser.rest.isEmpty else { throw PatternFault("has a \")\" without its \"(\"") }
        return (node, ignoresCase)
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard rest.first == scalar else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func alternatives() throws(PatternFault) -> PatternNode {
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func sequence() throws(PatternFault) -> PatternNode {
        var nodes: [PatternNode] = []
        while let next = rest.first, next != "|", next != ")" { nodes.append(try repetition(of: try atom())) }
        return .sequence(nodes)
    }

    private mutating func repetition(of atom: PatternNode) throws(PatternFault) -> PatternNode {
        let node: PatternNode
        if take("*") {
            node = .repeated(atom, minimum: 0, maximum: nil)
        } else if take("+") {
            node = .repeated(atom, minimum: 1, maximum: nil)
        } else if take("?") {
            node = .repeated(atom, minimum: 0, maximum: 1)
        } else if take("{") {
            node = try counted(atom)
        } else {
            return atom
        }
        // Which of several matches is found does not matter here: a lazy repetition is a repetition.
        _ = take("?")
        if let next = rest.first, ["*", "+", "{"].contains(next) {
            throw PatternFault("repeats a repetition (\"\(next)\" after another); put the first one into a group")
        }
        return node
    }

    private mutating func counted(_ atom: PatternNode) throws(PatternFault) -> PatternNode {
        let inside = String(String.UnicodeScalarView(rest.prefix { $0 != "}" }))
        rest = rest.drop { $0 != "}" }
        let ends = inside.split(separator: ",", omittingEmptySubsequences: false)
        guard take("}"), ends.count <= 2, let first = ends.first, let minimum = Int(first), minimum >= 0 else {
            throw PatternFault(
                "has \"{\(inside.prefix(20))\" where {n}, {n,} or {n,m} was expected; a brace itself is \\{")
        }
        guard let last = ends.dropFirst().first else { return .repeated(atom, minimum: minimum, maximum: minimum) }
        if last.isEmpty { return .repeated(atom, minimum: minimum, maximum: nil) }
        guard let maximum = Int(last), maximum >= minimum else {
            throw PatternFault("has the repetition {\(inside.prefix(20))}, whose end is no number from its start on")
        }
        return .repeated(atom, minimum: minimum, maximum: maximum)
    }

    private mutating func atom() throws(PatternFault) -> PatternNode {
        let first = rest.removeFirst()
        switch first {
        case ".": return .set(.dot)
        case "[": return .set(try characterClass())
        case "(": return try group()
        case "\\": return .set(ScalarSet(members: [try escape()]))
        case "*", "+", "?", "{": throw PatternFault("has a \"\(first)\" with nothing before it to repeat")
        case "^", "$":
            throw PatternFault(
                "has a \"\(first)\" in its middle; the whole text is matched. The character is \\\(first)")
        default: return .set(.one(first))
        }
    }

    private mutating func group() throws(PatternFault) -> PatternNode {
        if take("?"), !take(":") {
            throw PatternFault("has a group that begins with \"(?\" and is no \"(?:\"; \(Self.syntax)")
        }
        let node = try alternatives()
        guard take(")") else { throw PatternFault("has a \"(\" without its \")\"") }
        return node
    }

    private mutating func characterClass() throws(PatternFault) -> ScalarSet {
        var set = ScalarSet(members: [])
        set.isNegated = take("^")
        var isFirst = true
        while let next = rest.first, isFirst || next != "]" {
            isFirst = false
            rest.removeFirst()
            let member = next == "\\" ? try escape() : .range(next.value...next.value)
            guard case .range(let low) = member, rest.first == "-", rest.dropFirst().first != "]",
                rest.dropFirst().first != nil
            else {
                set.members.append(member)
                continue
            }
            rest.removeFirst()
            let last = rest.removeFirst()
            let end = last == "\\" ? try escape() : .range(last.value...last.value)
            guard case .range(let high) = end, low.lowerBound <= high.lowerBound else {
                throw PatternFault("has a class with a range whose end is no character from its start on")
            }
            set.members.append(.range(low.lowerBound...high.lowerBound))
        }
        guard take("]") else { throw PatternFault("has a \"[\" without its \"]\"") }
        return set
    }

    private mutating func escape() throws(PatternFault) -> ScalarSet.Member {
        guard let scalar = rest.popFirst() else { throw PatternFault("ends with a single \\") }
        switch scalar {
        case "d": return .digit
        case "w": return .word
        case "s": return .space
        case "D": return .not(.digit)
        case "W": return .not(.word)
        case "S": return .not(.space)
        case "n": return .range(0x0A...0x0A)
        case "r": return .range(0x0D...0x0D)
        case "t": return .range(0x09...0x09)
        default:
            guard !scalar.properties.isAlphabetic, scalar.properties.numericType == nil else {
                throw PatternFault(
                    "has \\\(scalar), which cannot be matched in linear time or is unknown; \(Self.syntax)")
            }
            return .range(scalar.value...scalar.value)
        }
    }
}
