/// A type whose arrays a column can be read as.
///
/// `[UInt8]` is a `bytea`, not an array, so the element says how its array is read.
package protocol PostgresArrayElement {
    static func postgresArray(_ cell: PostgresCell) -> [Self]?
}

extension Array: PostgresDecodable where Element: PostgresArrayElement {
    package init?(postgres cell: PostgresCell) {
        guard let elements = Element.postgresArray(cell) else { return nil }
        self = elements
    }
}

extension PostgresArrayElement where Self: PostgresDecodable {
    package static func postgresArray(_ cell: PostgresCell) -> [Self]? {
        guard let parts = ArrayText.elements(of: cell.bytes) else { return nil }
        var result: [Self] = []
        result.reserveCapacity(parts.count)
        for part in parts {
            if let part {
                // The element's own OID is not at hand: 0 stands for "whatever the text says".
                guard let value = Self(postgres: PostgresCell(bytes: part[...], type: 0)) else { return nil }
                result.append(value)
            } else {
                guard let null = Self.postgresNull else { return nil }
                result.append(null)
            }
        }
        return result
    }
}

extension String: PostgresArrayElement {}
extension Int: PostgresArrayElement {}
extension Int64: PostgresArrayElement {}
extension Double: PostgresArrayElement {}
extension Bool: PostgresArrayElement {}
extension PostgresTimestamp: PostgresArrayElement {}
extension Optional: PostgresArrayElement where Wrapped: PostgresDecodable {}
extension Array: PostgresArrayElement where Element == UInt8 {}

extension UInt8: PostgresArrayElement {
    /// `bytea` in hex form: `\x` and two digits for each byte.
    package static func postgresArray(_ cell: PostgresCell) -> [UInt8]? {
        let text = cell.bytes
        guard cell.type == 17 || cell.type == 0, text.count >= 2, text.count.isMultiple(of: 2),
            text[text.startIndex] == 0x5C, text[text.startIndex + 1] == 0x78
        else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count / 2 - 1)
        var index = text.startIndex + 2
        while index < text.endIndex {
            guard let high = nibble(text[index]), let low = nibble(text[index + 1]) else { return nil }
            result.append(high << 4 | low)
            index += 2
        }
        return result
    }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x57
        case 0x41...0x46: digit - 0x37
        default: nil
        }
    }
}
