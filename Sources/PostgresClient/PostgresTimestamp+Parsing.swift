extension PostgresTimestamp {
    /// Reads what the server prints for `timestamptz`, `timestamp` (taken as UTC) and `date`
    /// with `datestyle = ISO`: `2026-11-23 14:00:00.5+00`, `0044-03-15 BC`, `infinity`.
    package init?(_ text: String) {
        if text == "infinity" { self = .infinity; return }
        if text == "-infinity" { self = .minusInfinity; return }
        var scanner = DigitScanner(bytes: Array(text.utf8))
        guard var year = scanner.number(), scanner.skip(0x2D), let month = scanner.number(), scanner.skip(0x2D),
            let day = scanner.number(), (1...12).contains(month), (1...31).contains(day), year < 300_000
        else { return nil }
        var seconds: Int64 = 0
        var micros: Int64 = 0
        if scanner.skip(0x20) || scanner.skip(0x54) {
            if scanner.peek == 0x42 {
                scanner.position -= 1
            } else {
                guard let hour = scanner.number(), scanner.skip(0x3A), let minute = scanner.number(),
                    scanner.skip(0x3A), let second = scanner.number(), hour < 25, minute < 60, second < 61
                else { return nil }
                seconds = hour * 3_600 + minute * 60 + second
                if scanner.skip(0x2E) {
                    guard let fraction = scanner.fraction() else { return nil }
                    micros = fraction
                }
                guard let offset = scanner.offset() else { return nil }
                seconds -= offset
            }
        }
        if scanner.skip(0x20) {
            guard scanner.skip(0x42), scanner.skip(0x43) else { return nil }
            year = 1 - year
        }
        guard scanner.isAtEnd else { return nil }
        let days = CivilDay(year: year, month: month, day: day).daysSince1970
        microseconds = (days * 86_400 + seconds) * 1_000_000 + micros
    }
}

private struct DigitScanner {
    let bytes: [UInt8]
    var position = 0

    var isAtEnd: Bool { position == bytes.count }
    var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skip(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        position += 1
        return true
    }

    mutating func number() -> Int64? {
        let start = position
        var value: Int64 = 0
        while let byte = peek, (0x30...0x39).contains(byte), position - start < 9 {
            value = value * 10 + Int64(byte - 0x30)
            position += 1
        }
        return position > start ? value : nil
    }

    /// Digits after the point as microseconds; the server prints six at most.
    mutating func fraction() -> Int64? {
        let start = position
        guard let value = number() else { return nil }
        var scaled = value
        let digits = position - start
        guard digits <= 6 else { return nil }
        for _ in digits..<6 { scaled *= 10 }
        return scaled
    }

    /// `+02`, `-03:30`, `Z` or nothing, in seconds east of UTC.
    mutating func offset() -> Int64? {
        if skip(0x5A) { return 0 }
        guard let sign = peek, sign == 0x2B || sign == 0x2D else { return 0 }
        position += 1
        guard let hours = number() else { return nil }
        var total = hours * 3_600
        if skip(0x3A) {
            guard let minutes = number() else { return nil }
            total += minutes * 60
            if skip(0x3A) {
                guard let seconds = number() else { return nil }
                total += seconds
            }
        }
        return sign == 0x2D ? -total : total
    }
}
