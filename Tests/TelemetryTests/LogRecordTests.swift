import Logging
import Testing

@testable import Telemetry

@Suite struct LogRecordTests {
    private struct Oops: Error, CustomStringConvertible {
        let description = "it \"broke\""
    }

    private func record(
        _ message: String, _ metadata: Logger.Metadata = [:], error: (any Error)? = nil
    ) -> LogRecord {
        LogRecord(
            clock: LogClock(milliseconds: 1_795_442_588_042), level: .warning, label: "martlet.test", message: message,
            error: error, metadata: metadata)
    }

    private func json(_ record: LogRecord) -> String {
        String(decoding: JSONLine.encode(record), as: UTF8.self)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_827_696_789, "2000-02-29T12:34:56.789Z"),
        (-1, "1969-12-31T23:59:59.999Z"), (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        (1_795_442_588_042, "2026-11-23T14:03:08.042Z"),
    ])
    func timeIsRFC3339(milliseconds: Int64, text: String) {
        #expect(LogClock(milliseconds: milliseconds).rfc3339 == text)
    }

    @Test func jsonLineHasSortedFlatFields() {
        let line = json(
            record("done", [LogKey.task: "t1", LogKey.attempt: "2", "loss": ["train": "0.5", "eval": ["a", "b"]]]))
        #expect(
            line == """
                {"time":"2026-11-23T14:03:08.042Z","level":"warning","label":"martlet.test","message":"done",\
                "attempt":"2","loss.eval.0":"a","loss.eval.1":"b","loss.train":"0.5","task":"t1"}

                """)
    }

    @Test func jsonEscapesAndNeverRepeatsAKey() {
        let line = json(record("a\nb\t\"c\"\\\u{1B}[0m\u{7F}é", ["message": "x", "time": "y"], error: Oops()))
        #expect(line.hasSuffix("\n") && !line.dropLast().contains("\n"))
        #expect(line.contains(#""message":"a\nb\t\"c\"\\\u001b[0m\u007fé""#))
        #expect(line.contains(#""metadata.message":"x""#) && line.contains(#""metadata.time":"y""#))
        #expect(line.contains(#""error":"it \"broke\"""#))
    }

    @Test func consoleLineCannotBeForged() {
        let line = String(
            decoding: ConsoleLine.encode(record("a\r\nb\u{1B}[31m", ["k": "x y\n"]), colours: false), as: UTF8.self)
        #expect(line == #"14:03:08.042 WARN  a\r\nb\u{1b}[31m k="x y\n" (martlet.test)"# + "\n")
    }

    @Test func longTextIsCutWithItsSize() throws {
        let record = record(String(repeating: "é", count: 20_000), ["k": "\(String(repeating: "v", count: 5_000))"])
        #expect(record.message.utf8.count < LogRecord.messageLimit + 40)
        #expect(record.message.hasSuffix("… (40000 bytes)"))
        let field = try #require(record.fields.first)
        #expect(field.value.hasSuffix("… (5000 bytes)"))
        let many = Dictionary(uniqueKeysWithValues: (0..<500).map { ("k\($0)", Logger.MetadataValue.string("v")) })
        #expect(self.record("m", many).fields.count == LogRecord.fieldLimit)
    }

    @Test func secretsAreMaskedEverywhere() {
        let line = json(
            record(
                "connecting to amqp://u:hunter2@h:1/%2F",
                ["url": "postgresql://u:hunter2@h/db", "apiKey": "hunter2", "nested": ["password": ["hunter2"]]],
                error: nil))
        #expect(!line.contains("hunter2"))
        #expect(line.contains("amqp://u:[redacted]@h:1/%2F"))
    }
}
