import Pipeline
import Testing

@testable import IngestStage

@Suite struct DuplicateTests {

    @Test func nearDuplicatesAreFoundAndOthersKept() {
        var index = NearDuplicateIndex(threshold: 0.8, shingleWords: 3)
        var state: UInt64 = 1
        func text(_ count: Int) -> [String] {
            (0..<count).map { _ in
                state = TextNormalizer.mix(state)
                return "w"
                    + String(state % 5_000, radix: 16).map { String(UnicodeScalar(97 + UInt8($0.hexDigitValue ?? 0))) }
                    .joined()
            }
        }
        var found = 0
        var wrong = 0
        for _ in 0..<300 {
            let question = text(8).joined(separator: " ")
            var answer = text(120)
            func look() -> Bool {
                let (left, right) = (Array(question.utf8), Array(answer.joined(separator: " ").utf8))
                return index.isDuplicate(question: left[...], answer: right[...])
            }
            if look() { wrong += 1 }
            answer[60] = "changed"
            if look() { found += 1 }
            answer = text(120)
            if look() { wrong += 1 }
        }
        #expect(found >= 297)
        #expect(wrong == 0)
    }

    @Test func otherIdentifiersAreOtherQuestions() async throws {
        let answer = (0..<60).map { "word\(UnicodeScalar(97 + UInt8($0 % 26)))\($0)" }.joined(separator: " ")
        let lines = [79, 80].map {
            #"{"question":"How can the weakness CWE-\#($0) be mitigated by a developer in practice?","answer":"\#(answer)"}"#
        }
        let outcome = try await ingest(lines.joined(separator: "\n"))
        #expect(outcome.manifest?.counts.nearDuplicates == 0)
        #expect(outcome.manifest?.counts.written == 2)
    }

    @Test func exactDuplicatesGoAndAnswersMerge() async throws {
        let text = """
            {"question":"Q one","answer":"A","source_id":"1"}
            {"question":"q  ONE","answer":"a","source_id":"2"}
            {"question":"Q two","answer":"C","source_id":"3"}
            {"question":"Q one","answer":"B","source_id":"4"}
            """
        let outcome = try await ingest(text, ["source_id_field": "source_id"])
        #expect(outcome.manifest?.counts.exactDuplicates == 1)
        #expect(outcome.manifest?.counts.merged == 1)
        #expect(outcome.manifest?.counts.written == 2)
        #expect(outcome.records.contains(#""answer":"A\nB""#))
        #expect(outcome.records.contains(#""source_ids":["1","4"]"#))
    }
}
