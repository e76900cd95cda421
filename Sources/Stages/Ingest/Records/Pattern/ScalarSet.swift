/// The characters that one place of a pattern stands for.
struct ScalarSet: Hashable, Sendable {
    enum Member: Hashable, Sendable {
        case range(ClosedRange<UInt32>)
        /// Decimal digits of any script.
        case digit
        /// Letters and digits of any script, and `_`.
        case word
        case space
        indirect case not(Member)

        func contains(_ scalar: Unicode.Scalar) -> Bool {
            switch self {
            case .range(let range): range.contains(scalar.value)
            case .digit: scalar.properties.generalCategory == .decimalNumber
            case .word:
                scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.generalCategory == .decimalNumber
            case .space: scalar.properties.isWhitespace
            case .not(let member): !member.contains(scalar)
            }
        }
    }

    var members: [Member]
    var isNegated = false

    /// Everything but a line feed: what `.` stands for.
    static let dot = ScalarSet(members: [.range(0x0A...0x0A)], isNegated: true)

    static func one(_ scalar: Unicode.Scalar) -> ScalarSet {
        ScalarSet(members: [.range(scalar.value...scalar.value)])
    }

    func contains(_ scalar: Unicode.Scalar, ignoringCase: Bool) -> Bool {
        guard !members.contains(where: { $0.contains(scalar) }) else { return !isNegated }
        guard ignoringCase else { return isNegated }
        // Mappings to several characters (ß to SS) have no one place in a pattern.
        for text in [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping] {
            if text.unicodeScalars.count == 1, let other = text.unicodeScalars.first,
                members.contains(where: { $0.contains(other) })
            {
                return !isNegated
            }
        }
        return isNegated
    }
}
