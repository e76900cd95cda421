import Pipeline

/// Lengths of time as people write them: `90s`, `15m`, `2h`, `1d`, `500ms`, `1h30m`, or a bare number of seconds.
enum DurationText {
    static let examples = "90s, 15m, 2h or a number of seconds"

    /// Seconds; nil when `node` is no length of time.
    static func seconds(_ value: JSONValue, text: String) -> Double? {
        if let number = value.doubleValue { return number.isFinite && number >= 0 ? number : nil }
        return seconds(text)
    }

    static func seconds(_ text: String) -> Double? {
        if let bare = Double(text), bare.isFinite, bare >= 0, text.utf8.first.map(isDigit) ?? false { return bare }
        var rest = text.utf8[...]
        var total = 0.0
        var last = Double.infinity
        while !rest.isEmpty {
            let digits = rest.prefix { isDigit($0) || $0 == UInt8(ascii: ".") }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { !isDigit($0) && $0 != UInt8(ascii: ".") }
            rest = rest.dropFirst(letters.count)
            guard let number = Double(Substring(digits)), number.isFinite,
                let unit = units[String(Substring(letters))], unit < last
            else { return nil }
            // Larger units first, each once: 1h30m, not 30m1h.
            last = unit
            total += number * unit
        }
        return text.isEmpty ? nil : total
    }

    private static let units: [String: Double] = ["ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400]

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
