/// The id of one step of a trace: 8 bytes, written as 16 lower-case hexadecimal digits, never all zero.
package struct SpanID: Hashable, Sendable, CustomStringConvertible {
    private let value: UInt64

    /// Nil unless the text is exactly 16 lower-case hexadecimal digits and not all zero.
    package init?(_ text: some StringProtocol) {
        let digits = Array(text.utf8)
        guard digits.count == 16, let value = Hex.parse(digits[...]), value != 0 else { return nil }
        self.value = value
    }

    private init(value: UInt64) {
        self.value = value
    }

    package static func random() -> SpanID {
        SpanID(value: .random(in: 1 ... .max))
    }

    package var description: String {
        Hex.text(value)
    }
}
