/// Hexadecimal as trace context has it: lower case only, fixed width.
enum Hex {
    /// The value of at most 16 digits; nil when one is not a lower-case hexadecimal digit.
    static func parse(_ digits: some Collection<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    /// 16 digits.
    static func text(_ value: UInt64) -> String {
        let digits = (0..<16).map { hexDigit(UInt8(value >> (60 - 4 * UInt64($0)) & 15)) }
        return String(decoding: digits, as: UTF8.self)
    }
}
