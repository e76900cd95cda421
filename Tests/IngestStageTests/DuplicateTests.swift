import Foundation
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

    /// Compared forms, against the plain way to make them.
    @Test(arguments: [
        "Plain  ASCII\ttext ", " É  é e\u{301}\u{323} ", "Ça — “va”…\u{A0}\u{2003}oui ", "ПРИВЕТ Йод и\u{306}",
        "漢字 かな か\u{3099}", "İstanbul ẞ Σας", "👩🏽‍💻 Ok\u{FE0F}", "\u{212B}\u{2000}x\u{1E9B}\u{323}",
        "한글 \u{1112}\u{1161}\u{11AB}", "\r\né\r\n",
        "\u{1680}é\u{85}x",
    ])
    func textsAreComparedInOneForm(_ text: String) {
        var bytes: [UInt8] = []
        TextNormalizer.append(text, to: &bytes)
        let plain = text.precomposedStringWithCanonicalMapping.lowercased()
            .split(whereSeparator: \.isWhitespace).joined(separator: " ")
        #expect(String(decoding: bytes, as: UTF8.self).unicodeScalars.elementsEqual(plain.unicodeScalars))
        #expect(TextFilter.trimmed(text) == text.trimmingCharacters(in: .whitespacesAndNewlines))
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

    @Test func recordsAreFoundAgainAfterTheTablesHaveGrown() {
        var index = NearDuplicateIndex(threshold: 0.85, shingleWords: 3)
        func isFound(_ number: Int) -> Bool {
            let question = Array("what is item \(number)".utf8)
            let answer = Array("item \(number) is \(String(number * 7_919, radix: 3)) and no other".utf8)
            return index.isDuplicate(question: question[...], answer: answer[...])
        }
        let numbers = 0..<2_500
        #expect(numbers.allSatisfy { !isFound($0) })
        #expect(numbers.allSatisfy { isFound($0) })
        #expect(index.count == numbers.count)
    }

    private let repeated = """
        {"question":"Q","answer":"A","source_id":"1"}
        {"question":"Q","answer":"A","source_id":"1"}
        {"question":"Q","answer":"A","source_id":"2"}
        {"question":"Q","answer":"B","source_id":"3"}
        {"question":"Q","answer":"A","source_id":"1"}
        """

    @Test func equalAnswersAreNotJoined() async throws {
        let outcome = try await ingest(
            repeated, ["source_id_field": "source_id", "duplicates": ["exact": false, "near": false]])
        #expect(outcome.records.pairs.map { $0["answer"]?.stringValue } == ["A\nB"])
        #expect(outcome.manifest?.counts.exactDuplicates == 3)
        #expect(outcome.manifest?.counts.merged == 1)
    }

    @Test func keptRepetitionsHaveIDsOfTheirOwn() async throws {
        func ids(_ duplicates: JSONValue) async throws -> [String] {
            let outcome = try await ingest(
                repeated,
                ["source_id_field": "source_id", "duplicates": duplicates, "merge": ["mode": "keep"]])
            return outcome.records.pairs.compactMap { $0["id"]?.stringValue }
        }
        let kept = try await ids(["exact": false, "near": false])
        #expect(kept.count == 5)
        #expect(Set(kept).count == 5)
        #expect(try await ids(["exact": false, "near": false]) == kept)
        // The first of equal pairs is named as if it were the only one.
        #expect(try await ids(["exact": true, "near": false]) == [kept[0], kept[3]])
    }

    @Test func tooManyPairsEndTheIngestWithAdviceThatHelps() async throws {
        let lines = (1...20).map(pairLine).joined(separator: "\n")
        for near in [true, false] {
            let outcome = try await ingest(lines, ["duplicates": ["near": .bool(near), "max_entries": 19]])
            #expect(outcome.error?.code == .duplicateIndexFull)
            #expect(outcome.error?.message.contains("Raise duplicates.max_entries") == true)
            #expect(outcome.error?.message.contains("duplicates.near") == near)
            #expect(outcome.error?.message.contains("duplicates.exact") == false)
        }
        #expect(try await ingest(lines, ["duplicates": ["max_entries": 20]]).manifest?.counts.written == 20)
        var options = DuplicateOptions()
        #expect(options.maximumEntries == DuplicateOptions.mostWithNear)
        options.removesNear = false
        #expect(options.maximumEntries == DuplicateOptions.mostWithoutNear)
    }
}
