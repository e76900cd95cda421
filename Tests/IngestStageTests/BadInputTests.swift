import Foundation
import Pipeline
import Testing

@testable import IngestStage

@Suite struct BadInputTests {
    private let good = (1...300).map(pairLine).joined(separator: "\n") + "\n"

    @Test func truncatedJSONLinesFail() async throws {
        let outcome = try await ingest(good + #"{"question":"q","ans"#)
        let error = try #require(outcome.error)
        #expect(error.code == .truncated)
        #expect(error.message.contains("line 301"))
        #expect(!error.isRetryable)
        let allowed = try await ingest(
            good + #"{"question":"q","ans"#, ["error_budget": ["allow_truncation": true]])
        #expect(allowed.manifest?.counts.badByRule == ["truncated": 1])
    }

    @Test func aWrongEncodingNamesTheByteAndTheLine() async throws {
        let bytes =
            Array(pairLine(1).utf8) + [0x0A] + Array(#"{"question":"caf"#.utf8) + [0xE9]
            + Array(#"","answer":"a"}"#.utf8)
        let error = try #require(try await ingest([MemorySource(bytes + [0x0A])]).error)
        #expect(error.code == .errorBudgetExceeded)
        #expect(error.reasons.first?.rule == "encoding")
        #expect(error.reasons.first?.line == 2)
        #expect(error.message.contains("at byte \(pairLine(1).utf8.count + 1 + 16) of the source"))
    }

    @Test(arguments: [([0xFF, 0xFE, 0x7B, 0x00] as [UInt8], "UTF-16"), ([0x1F, 0x8B, 8, 0], "gzip")])
    func foreignContentIsNamed(_ bytes: [UInt8], _ name: String) async throws {
        let error = try #require(try await ingest([MemorySource(bytes, sizes: [1])]).error)
        #expect(error.code == .wrongEncoding)
        #expect(error.message.contains(name))
    }

    @Test func aByteOrderMarkIsAccepted() async throws {
        let outcome = try await ingest([MemorySource([0xEF, 0xBB, 0xBF] + Array(pairLine(1).utf8), sizes: [1])])
        #expect(outcome.manifest?.counts.written == 1)
    }

    @Test func aMissingColumnIsNamedWithThosePresent() async throws {
        let error = try #require(try await ingest("question,reply\na,b\n", name: "data.csv").error)
        #expect(error.code == .missingColumn)
        #expect(error.message.contains("\"answer\" is missing; present: \"question\", \"reply\""))
    }

    @Test(arguments: ["", "\n \n"])
    func anEmptySourceFails(_ text: String) async throws {
        #expect(try await ingest(text).error?.code == .emptySource)
    }

    @Test func aLineOfAMegabyteIsOneBadRecord() async throws {
        let long = #"{"question":"q","answer":""# + String(repeating: "x", count: 1 << 20) + "\"}\n"
        let outcome = try await ingest(long + good)
        #expect(outcome.manifest?.counts.badByRule == ["record_too_large": 1])
        #expect(outcome.manifest?.counts.written == 300)
        #expect(outcome.quarantine.contains("1048604 bytes; at most 262144 are allowed"))
        #expect(outcome.quarantine.utf8.count < 8_192)
    }

    @Test func raggedQuotesCostOneLineEach() async throws {
        let rows = "question,answer\n\"a, open\nq1,\"good one\"\nq2,bad\"quote\nq3,\"shut\"text\nq4,fine\nq5\n"
        let outcome = try await ingest(rows, name: "data.csv", ["error_budget": ["fraction": 1]])
        #expect(
            outcome.manifest?.counts.badByRule
                == ["text_after_quote": 2, "quote_after_text": 1, "column_count": 1])
        #expect(outcome.manifest?.counts.written == 2)
        let lines = outcome.quarantine.split(separator: "\n").compactMap { line in
            try? JSONDecoder().decode(JSONValue.self, from: Data(line.utf8))["line"]?.intValue
        }
        #expect(lines == [2, 4, 5, 7])
    }

    @Test func anUnknownParameterIsNamed() async throws {
        #expect(try await ingest(good, ["limts": [:]]).error?.message.contains("\"limts\" is unknown") == true)
    }

    @Test func templateErrorsNameTemplateAndPlaceholder() async throws {
        let outcome = try await ingest(
            good, ["templates": [["name": "t", "question": "{item.X}", "answer": "{answer}"]]])
        #expect(outcome.error?.code == .invalidTemplate)
        #expect(outcome.error?.message.contains("{item.X}") == true)
    }
}
