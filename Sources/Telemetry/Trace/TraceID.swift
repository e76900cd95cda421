/// The id of a trace: 16 bytes, written as 32 lower-case hexadecimal digits, never all zero.
package struct TraceID: Hashable, Sendable, CustomStringConvertible {
    private let high: UInt64
    private let low: UInt64

    /// Nil unless the text is exactly 32 lower-case hexadecimal digits and not all zero.
    package init?(_ text: some StringProtocol) {
        let digits = Array(text.utf8)
        guard digits.count == 32, let high = Hex.parse(digits[..<16]), let low = Hex.parse(digits[16...]),
            high != 0 || low != 0
        else { return nil }
        self.high = high
        self.low = low
    }

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package static func random() -> TraceID {
        TraceID(high: .random(in: .min ... .max), low: .random(in: 1 ... .max))
    }

    package var description: String {
        Hex.text(high) + Hex.text(low)
    }
}
