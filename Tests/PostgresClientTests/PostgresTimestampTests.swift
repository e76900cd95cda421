import PostgresClient
import Testing

struct PostgresTimestampTests {
    @Test(arguments: [
        (0, "1970-01-01 00:00:00.000000+00"), (-1, "1969-12-31 23:59:59.999999+00"),
        (951_782_400_000_000, "2000-02-29 00:00:00.000000+00"),
        (-62_135_596_800_000_000, "0001-01-01 00:00:00.000000+00"),
        (-62_135_596_800_000_001, "0001-12-31 23:59:59.999999+00 BC"),
    ])
    func printsAndReads(microseconds: Int64, text: String) {
        #expect(PostgresTimestamp(microseconds: microseconds).description == text)
        #expect(PostgresTimestamp(text)?.microseconds == microseconds)
    }

    @Test(arguments: ["", "2024", "2024-13-01", "2024-01-01 25", "2024-01-01 00:00:00.1234567", "2024-01-01 x", "now"])
    func refusesOtherText(text: String) {
        #expect(PostgresTimestamp(text) == nil)
    }

    @Test
    func aDateIsItsMidnight() {
        #expect(PostgresTimestamp("1970-01-02")?.microseconds == 86_400_000_000)
        #expect(PostgresTimestamp("1970-01-01T01:00:00+01:00")?.microseconds == 0)
    }
}
