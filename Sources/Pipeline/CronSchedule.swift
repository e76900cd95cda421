/// A clock in the notation of cron: minute, hour, day of the month, month, day of the week; in UTC.
///
/// As in Vixie cron, when both days are restricted (neither field begins with `*`) either may match;
/// otherwise both must. `@yearly`, `@monthly`, `@weekly`, `@daily` and `@hourly` are understood, and so are the
/// English three-letter names of months and days. Sunday is 0 and 7.
package struct CronSchedule: Hashable, Sendable, CustomStringConvertible {
    /// As it was written.
    package let description: String

    /// Bit n is set when the value n matches.
    let minutes: UInt64
    let hours: UInt64
    let daysOfMonth: UInt64
    let months: UInt64
    /// Bits 0 (Sunday) to 6.
    let daysOfWeek: UInt64
    /// Neither of the two days was written with a star.
    let matchesEitherDay: Bool

    /// - Throws: ``PipelineError`` naming the field, what is wrong with it and what it may be.
    package init(_ text: String) throws(PipelineError) {
        description = text
        let trimmed = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        let expanded = trimmed.hasPrefix("@") ? try Self.expand(trimmed) : trimmed
        let fields = expanded.split(separator: " ")
        guard fields.count == 5 else {
            throw PipelineError(
                .invalidCron,
                "\"\(text.prefix(80))\" has \(fields.count) field\(fields.count == 1 ? "" : "s"), not 5: write minute, hour, "
                    + "day of the month, month and day of the week, such as \"30 2 * * mon\"")
        }
        minutes = try CronField.minute.mask(of: fields[0])
        hours = try CronField.hour.mask(of: fields[1])
        daysOfMonth = try CronField.dayOfMonth.mask(of: fields[2])
        months = try CronField.month.mask(of: fields[3])
        let days = try CronField.dayOfWeek.mask(of: fields[4])
        daysOfWeek = (days | days >> 7) & 0x7F
        matchesEitherDay = !fields[2].hasPrefix("*") && !fields[4].hasPrefix("*")
    }

    private static func expand(_ macro: String) throws(PipelineError) -> String {
        switch macro.lowercased() {
        case "@yearly", "@annually": "0 0 1 1 *"
        case "@monthly": "0 0 1 * *"
        case "@weekly": "0 0 * * 0"
        case "@daily", "@midnight": "0 0 * * *"
        case "@hourly": "0 * * * *"
        default:
            throw PipelineError(
                .invalidCron,
                "\"\(macro.prefix(80))\" is not a schedule: use @yearly, @monthly, @weekly, @daily, @hourly or five fields"
            )
        }
    }

    /// The first whole minute after `time` that matches; nil when none ever does, as on the 31st of February.
    package func next(after time: Timestamp) -> Timestamp? {
        let minute = Timestamp.floorDivide(time.microseconds, 60_000_000) + 1
        var day = Timestamp.floorDivide(minute, 1_440)
        var earliest = minute - day * 1_440
        // The Gregorian calendar, weekdays included, repeats after 400 years.
        let last = day + 146_097
        while day <= last {
            let date = CivilDate(daysSinceEpoch: day)
            guard months >> UInt64(date.month) & 1 == 1 else {
                day = Self.firstDayOfNextMonth(after: date)
                earliest = 0
                continue
            }
            if matchesDay(date), let found = firstMinute(from: earliest) {
                return Timestamp(microseconds: (day * 1_440 + found) * 60_000_000)
            }
            day += 1
            earliest = 0
        }
        return nil
    }

    private func matchesDay(_ date: CivilDate) -> Bool {
        let ofMonth = daysOfMonth >> UInt64(date.day) & 1 == 1
        let ofWeek = daysOfWeek >> UInt64(date.weekday) & 1 == 1
        return matchesEitherDay ? ofMonth || ofWeek : ofMonth && ofWeek
    }

    /// The first matching minute of a day, not before `earliest`.
    private func firstMinute(from earliest: Int64) -> Int64? {
        for hour in (earliest / 60)..<24 where hours >> UInt64(hour) & 1 == 1 {
            let start = hour == earliest / 60 ? earliest % 60 : 0
            let rest = (minutes >> UInt64(start)) << UInt64(start)
            if rest != 0 { return hour * 60 + Int64(rest.trailingZeroBitCount) }
        }
        return nil
    }

    private static func firstDayOfNextMonth(after date: CivilDate) -> Int64 {
        let next =
            date.month == 12
            ? CivilDate(year: date.year + 1, month: 1, day: 1)
            : CivilDate(year: date.year, month: date.month + 1, day: 1)
        return next.daysSinceEpoch
    }
}
