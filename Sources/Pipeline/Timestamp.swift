/// A moment: whole microseconds since 1970-01-01T00:00:00Z, the resolution the ledger keeps.
package struct Timestamp: Hashable, Comparable, Sendable {
    package var microseconds: Int64

    package init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// The nearest microsecond; what no timestamp can hold becomes the nearest that can.
    package init(seconds: Double) {
        let rounded = (seconds * 1_000_000).rounded()
        microseconds = Int64(exactly: rounded) ?? (rounded > 0 ? .max : rounded < 0 ? .min : 0)
    }

    package var seconds: Double { Double(microseconds) / 1_000_000 }

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.microseconds < right.microseconds
    }

    /// The time from this moment to `other`; negative when `other` is earlier.
    package func duration(to other: Timestamp) -> Duration {
        .microseconds(other.microseconds - microseconds)
    }

    package func advanced(by duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        let (whole, isTooLong) = seconds.multipliedReportingOverflow(by: 1_000_000)
        let (moved, isTooFar) = microseconds.addingReportingOverflow(whole)
        guard !isTooLong, !isTooFar else { return Timestamp(microseconds: seconds > 0 ? .max : .min) }
        return Timestamp(microseconds: moved &+ attoseconds / 1_000_000_000_000)
    }
}

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC with milliseconds: `2026-03-01T12:00:00.000Z`.
    package var description: String { spelled(withMicroseconds: false) }

    private func spelled(withMicroseconds: Bool) -> String {
        let second = Timestamp.floorDivide(microseconds, 1_000_000)
        let fraction = microseconds - second * 1_000_000
        let day = Timestamp.floorDivide(second, 86_400)
        let date = CivilDate(daysSinceEpoch: day)
        let clock = second - day * 86_400
        var text = ""
        text.reserveCapacity(27)
        Self.pad(date.year, 4, "-", to: &text)
        Self.pad(date.month, 2, "-", to: &text)
        Self.pad(date.day, 2, "T", to: &text)
        Self.pad(clock / 3_600, 2, ":", to: &text)
        Self.pad(clock / 60 % 60, 2, ":", to: &text)
        Self.pad(clock % 60, 2, ".", to: &text)
        if withMicroseconds {
            Self.pad(fraction, 6, "Z", to: &text)
        } else {
            Self.pad(fraction / 1_000, 3, "Z", to: &text)
        }
        return text
    }

    private static func pad(_ value: Int64, _ width: Int, _ end: String, to text: inout String) {
        let digits = String(value)
        for _ in digits.utf8.count..<max(width, digits.utf8.count) { text += "0" }
        text += digits
        text += end
    }

    /// - Parameter divisor: above zero.
    static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
        value / divisor - (value % divisor < 0 ? 1 : 0)
    }
}

extension Timestamp: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Timestamp(rfc3339: text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not an RFC 3339 time: \(text.prefix(64))")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(precise)
    }

    /// As JSON has it. What was read is what was written: microseconds are spelled where there are any.
    package var precise: String { spelled(withMicroseconds: microseconds % 1_000 != 0) }
}
