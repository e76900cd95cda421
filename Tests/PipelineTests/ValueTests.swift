import Foundation
import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct ValueTests {
    @Test(
        arguments: [
            ("2026-03-01T12:00:00Z", 1_772_366_400_000_000), ("1970-01-01T00:00:00.000001Z", 1),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2026-03-01T12:00:00.1234567+02:00", 1_772_359_200_123_456),
            ("2000-02-29T00:00:00-00:30", 951_784_200_000_000),
        ] as [(String, Int64)])
    func timestampsAreRead(_ text: String, _ microseconds: Int64) {
        #expect(Timestamp(rfc3339: text)?.microseconds == microseconds)
    }

    @Test(arguments: [
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01", "2026-03-01T12:00:00",
        "2026-03-01T12:00:00.Z", "",
    ])
    func wrongTimestampsAreRefused(_ text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }

    @Test func timestampsSurviveJSON() throws {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<200 {
            let range = -62_135_596_800_000_000...253_402_300_799_999_999 as ClosedRange<Int64>
            let stamp = Timestamp(microseconds: Int64.random(in: range, using: &generator))
            let coded = try JSONEncoder().encode([stamp])
            #expect(try JSONDecoder().decode([Timestamp].self, from: coded) == [stamp])
        }
        #expect(Timestamp(microseconds: 1_500).description == "1970-01-01T00:00:00.001Z")
        #expect(Timestamp(microseconds: -1).description == "1969-12-31T23:59:59.999Z")
    }

    @Test func timestampsDoNotOverflow() {
        #expect(Timestamp(seconds: .infinity).microseconds == .max)
        #expect(Timestamp(seconds: -1e300).microseconds == .min)
        #expect(Timestamp(seconds: .nan).microseconds == 0)
        #expect(Timestamp(microseconds: .max).advanced(by: .seconds(10)).microseconds == .max)
        #expect(Timestamp(microseconds: 5).advanced(by: .seconds(-1)).microseconds == -999_995)
    }

    @Test func runIDsSortByTime() {
        var generator = SeededGenerator(seed: 1)
        let times = ["2025-06-01T00:00:00Z", "2026-11-23T12:00:00Z", "2039-12-31T00:00:00Z", "2058-01-01T00:00:00Z"]
        let ids = times.map { RunID(at: time($0), using: &generator) }
        #expect(ids == ids.sorted())
        #expect(ids.allSatisfy { $0.description.count == 16 && $0.description.hasPrefix("r") })
        let now = time("2026-11-23T12:00:00Z")
        #expect(Set((0..<10_000).map { _ in RunID(at: now, using: &generator) }).count == 10_000)
    }

    @Test func canonicalJSON() throws {
        let value: JSONValue = [
            "b": [1, 2.5, -0.0, .double(.nan), .double(1e300)], "a": "q\"\\\n\u{1}é", "": nil, "z": ["y": true],
        ]
        #expect(
            value.canonicalJSON
                == "{\"\":null,\"a\":\"q\\\"\\\\\\n\\u0001é\",\"b\":[1,2.5,0,null,1e+300],\"z\":{\"y\":true}}")
        let coded = try JSONEncoder().encode(value)
        #expect(try JSONDecoder().decode(JSONValue.self, from: coded).canonicalJSON == value.canonicalJSON)
    }

    @Test func fingerprintsGroupTheSameFault() {
        func fingerprint(_ message: String, kind: String = "train") -> String {
            Failure(class: .retryable, code: "s3.timeout", message: message).fingerprint(stageKind: kind)
        }
        let first = fingerprint("PUT runs/r01/x took 30.1 s for \"model a\": timed out")
        #expect(first == fingerprint("PUT runs/r77/y took 29.8 s for \"another model\": timed out"))
        #expect(first != fingerprint("PUT runs/r01/x was refused"))
        #expect(first != fingerprint("PUT runs/r01/x took 30.1 s for \"model a\": timed out", kind: "ingest"))
        #expect(first.count == 16)
        #expect(fingerprint("an open \"quote") == fingerprint("an open \"quote"))
    }

    @Test func anOlderTaskPayloadIsStillRead() throws {
        let payload = TaskPayload(
            run: RunID("r1"), pipeline: "p", stage: "s", kind: "noop", pool: "noop", timeoutSeconds: 1,
            ackPolicy: .onResult,
            cache: false, parameters: [:], inputs: [:])
        let coded = try JSONEncoder().encode(payload)
        #expect(!String(decoding: coded, as: UTF8.self).contains("resourceRetry"))
        #expect(try JSONDecoder().decode(TaskPayload.self, from: coded) == payload)
    }
}
