import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct CronScheduleTests {
    @Test(
        arguments: [
            ("* * * * *", "2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z"),
            ("* * * * *", "2026-03-01T12:00:59.999999Z", "2026-03-01T12:01:00Z"),
            ("0 * * * *", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"),
            ("*/15 * * * *", "2026-03-01T12:46:10Z", "2026-03-01T13:00:00Z"),
            ("5/20 * * * *", "2026-03-01T12:06:00Z", "2026-03-01T12:25:00Z"),
            ("10-30/10,59 * * * *", "2026-03-01T12:30:00Z", "2026-03-01T12:59:00Z"),
            ("30 2 * * *", "2026-03-01T02:30:00Z", "2026-03-02T02:30:00Z"),
            ("0 9-17/4 * * *", "2026-03-01T13:00:01Z", "2026-03-01T17:00:00Z"),
            ("@daily", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("@hourly", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
            ("@weekly", "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z"),
            ("@monthly", "2026-01-31T10:00:00Z", "2026-02-01T00:00:00Z"),
            ("@Yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            // 2026-03-01 is a Sunday.
            ("0 0 * * mon", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
            ("0 0 * * 7", "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z"),
            ("0 0 * * FRI-sun", "2026-03-02T00:00:00Z", "2026-03-06T00:00:00Z"),
            ("0 0 * * 5-7", "2026-03-07T00:00:00Z", "2026-03-08T00:00:00Z"),
            ("0 0 * * */2", "2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"),
            // Both days are restricted: either will do.
            ("0 0 13 * fri", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z"),
            ("0 0 13 * fri", "2026-04-10T00:00:00Z", "2026-04-13T00:00:00Z"),
            // A field that begins with a star does not restrict in that sense: both must match.
            ("0 0 */2 * mon", "2026-03-01T00:00:00Z", "2026-03-09T00:00:00Z"),
            ("0 0 29 feb *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
            ("0 0 31 * *", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"),
            ("59 23 31 dec *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"),
            ("0 12 1 jan,jul *", "2026-01-01T12:00:00Z", "2026-07-01T12:00:00Z"),
            ("0 0 * * *", "1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z"),
            ("  0   0\t1 1 *  ", "2026-03-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ])
    func nextTick(_ cron: String, _ after: String, _ expected: String) throws {
        #expect(try CronSchedule(cron).next(after: time(after)) == time(expected))
    }

    @Test(arguments: ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"])
    func datesThatNoYearHas(_ cron: String) throws {
        #expect(try CronSchedule(cron).next(after: time("2026-03-01T00:00:00Z")) == nil)
    }

    @Test(
        arguments: [
            (
                "",
                "\"\" has 0 fields, not 5: write minute, hour, day of the month, month and day of the week, "
                    + "such as \"30 2 * * mon\""
            ),
            (
                "* * * *",
                "\"* * * *\" has 4 fields, not 5: write minute, hour, day of the month, month and day of the week, "
                    + "such as \"30 2 * * mon\""
            ),
            (
                "@sometimes",
                "\"@sometimes\" is not a schedule: use @yearly, @monthly, @weekly, @daily, @hourly or five fields"
            ),
            (
                "60 * * * *",
                "the minute \"60\" is out of range: use 0 to 59, ranges as a-b, steps as */n, lists with commas"
            ),
            (
                "* 24 * * *",
                "the hour \"24\" is out of range: use 0 to 23, ranges as a-b, steps as */n, lists with commas"
            ),
            (
                "* * 0 * *",
                "the day of the month \"0\" is out of range: use 1 to 31, ranges as a-b, steps as */n, "
                    + "lists with commas"
            ),
            (
                "* * * foo *",
                "the month \"foo\" is not a value: use 1 to 12 or jan to dec, ranges as a-b, steps as */n, "
                    + "lists with commas"
            ),
            (
                "* * * * 8",
                "the day of the week \"8\" is out of range: use 0 to 7 or sun to sat, ranges as a-b, "
                    + "steps as */n, lists with commas"
            ),
            (
                "30-10 * * * *",
                "the minute \"30-10\" runs backwards: use 0 to 59, ranges as a-b, steps as */n, lists with commas"
            ),
            (
                "*/0 * * * *",
                "the minute \"*/0\" has no valid step after the slash: use 0 to 59, ranges as a-b, "
                    + "steps as */n, lists with commas"
            ),
        ])
    func refusals(_ cron: String, _ message: String) {
        #expect(refusal { () throws(PipelineError) in try CronSchedule(cron) } == message)
    }

    @Test(arguments: [
        "1,,2 * * * *", "1- * * * *", "-1 * * * *", "*/ * * * *", "1//2 * * * *", "１ * * * *",
        "99999999999999999999 * * * *", "* * * * * *",
    ])
    func oddTextsAreRefused(_ cron: String) {
        #expect(refusal { () throws(PipelineError) in try CronSchedule(cron) } != nil)
    }

    /// Against the slow and obvious way: try every minute.
    @Test func agreesWithTryingEveryMinute() throws {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<60 {
            let minute = Int.random(in: 0...59, using: &generator)
            let hour = Int.random(in: 0...23, using: &generator)
            let day = Int.random(in: 1...28, using: &generator)
            let weekday = Int.random(in: 0...6, using: &generator)
            let schedule = try CronSchedule("\(minute) \(hour) \(day) * \(weekday)")
            let start =
                time("2026-01-01T00:00:00Z").microseconds / 60_000_000
                + Int64.random(in: 0..<500_000, using: &generator)
            var candidate = start + 1
            while !matches(candidate, minute, hour, day, weekday) { candidate += 1 }
            let found = schedule.next(after: Timestamp(microseconds: start * 60_000_000))
            #expect(found == Timestamp(microseconds: candidate * 60_000_000))
        }
    }

    private func matches(_ minutes: Int64, _ minute: Int, _ hour: Int, _ day: Int, _ weekday: Int) -> Bool {
        guard Int(minutes % 60) == minute, Int(minutes / 60 % 24) == hour else { return false }
        let date = Timestamp(microseconds: minutes * 60_000_000).description
        return Int(date.dropFirst(8).prefix(2)) == day || Int((minutes / 1_440 + 4) % 7) == weekday
    }
}
