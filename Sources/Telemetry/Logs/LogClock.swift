import Glibc

/// Wall-clock time as RFC 3339 in UTC with milliseconds, without Foundation: `2026-11-23T14:05:09.042Z`.
struct LogClock {
    /// Milliseconds since 1970, UTC.
    let milliseconds: Int64

    static func now() -> LogClock {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return LogClock(milliseconds: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
    }

    var date: String {
        let days = Int64(floorDiv(milliseconds, 86_400_000))
        // Civil date from a day number: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let shifted = days + 719_468
        let era = floorDiv(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthIndex + 2) / 5 + 1
        let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    }

    var time: String {
        let inDay = milliseconds - floorDiv(milliseconds, 86_400_000) * 86_400_000
        let seconds = inDay / 1_000
        return "\(padded(seconds / 3_600, 2)):\(padded(seconds / 60 % 60, 2)):\(padded(seconds % 60, 2))."
            + padded(inDay % 1_000, 3)
    }

    var rfc3339: String {
        "\(date)T\(time)Z"
    }

    private func floorDiv(_ value: Int64, _ divisor: Int64) -> Int64 {
        value >= 0 ? value / divisor : (value - divisor + 1) / divisor
    }

    private func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
