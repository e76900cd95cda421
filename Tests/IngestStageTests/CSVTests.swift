import Foundation
import Pipeline
import Testing

@testable import IngestStage

/// Files as spreadsheets, databases and people write them.
@Suite struct CSVTests {
    private func read(
        _ text: String, _ csv: JSONValue = [:], fraction: Double = 0
    ) async throws -> (pairs: [[String]], outcome: Outcome) {
        let outcome = try await ingest(
            text, name: "data.csv",
            [
                "csv": csv, "error_budget": ["fraction": .double(fraction)],
                "duplicates": ["near": false, "exact": false], "merge": ["mode": "keep"],
            ])
        let pairs = outcome.records.pairs.map {
            [$0["question"]?.stringValue ?? "-", $0["answer"]?.stringValue ?? "-"]
        }
        return (pairs, outcome)
    }

    @Test(arguments: [
        ("question,answer\na,b\n", "a", "b"), ("question,answer\r\na,b\r\n", "a", "b"),
        ("question,answer\na,b", "a", "b"),
        ("answer,question\nb,a\n", "a", "b"), ("question,x,answer\na,,b\n", "a", "b"),
        ("\"question\",\"answer\"\n\"a\",\"b\"\n", "a", "b"), ("question,answer\n\"a,1\",b\n", "a,1", "b"),
        ("question,answer\n\"a \"\"q\"\"\",b\n", "a \"q\"", "b"), ("question,answer\n\"a\nb\",c\n", "a\nb", "c"),
        ("question,answer\n\"a\r\nb\",c\r\n", "a\r\nb", "c"), ("question,answer\n\n\na,b\n\n", "a", "b"),
        ("question,answer\n é 😀 ,ü\n", "é 😀", "ü"), ("question,answer\n\"a\",\"\"\"\"\n", "a", "\""),
        ("question,answer\n\"a\",\"b\"", "a", "b"),
    ])
    func wellFormedRowsAreRead(_ text: String, _ question: String, _ answer: String) async throws {
        let (pairs, outcome) = try await read(text)
        #expect(pairs == [[question, answer]], "\(outcome.error?.message ?? "")")
    }

    @Test func otherDelimitersQuotesAndHeaders() async throws {
        #expect(try await read("question;answer\na,1;b\n", ["delimiter": ";"]).pairs == [["a,1", "b"]])
        #expect(try await read("question\tanswer\na\tb\n", ["delimiter": "\t"]).pairs == [["a", "b"]])
        #expect(try await read("question,answer\n'a,1','it''s'\n", ["quote": "'"]).pairs == [["a,1", "it's"]])
        let plain: JSONValue = ["header": false, "columns": ["question", "answer"]]
        #expect(try await read("a,b\nc,d\n", plain).pairs == [["a", "b"], ["c", "d"]])
        #expect(try await read("question,answer\na,b,\n", ["trailing_delimiter": true]).pairs == [["a", "b"]])
    }

    @Test(arguments: [
        ("question,answer\na\nb,c\n", [2], "column_count"), ("question,answer\na,b,c\nb,c\n", [2], "column_count"),
        ("question,answer\na\"b,c\nd,e\n", [2], "quote_after_text"),
        ("question,answer\n\"a\"b,c\nd,e\n", [2], "text_after_quote"),
        ("question,answer\nd,e\n\"a,b\n", [3], "unterminated_quote"),
    ])
    func aRaggedRowIsOneBadRecord(_ text: String, _ lines: [Int], _ rule: String) async throws {
        let (pairs, outcome) = try await read(text, fraction: 1)
        #expect(outcome.quarantine.reasons.map(\.line) == lines)
        #expect(outcome.quarantine.reasons.map(\.rule) == [rule])
        #expect(pairs.count == 1)
    }

    @Test(arguments: [
        ("question,question,answer\na,b,c\n", "question"), ("question,,answer\na,b,c\n", "no name for column 2"),
        (" \n", "\"question\", \"answer\" are missing"), ("\"question,answer\na,b\n", "inside a quoted field"),
    ])
    func aBadHeaderEndsTheIngest(_ text: String, _ word: String) async throws {
        let error = try #require(try await read(text, fraction: 1).outcome.error)
        #expect([.badHeader, .emptySource, .missingColumn].contains(error.code), "\(error)")
        #expect(error.message.contains(word))
    }

    @Test func tabsSeparateInTSVUnlessToldOtherwise() async throws {
        for (text, csv) in [
            ("question\tanswer\na,1\tb\n", [:] as JSONValue), ("question;answer\na,1;b\n", ["delimiter": ";"]),
        ] {
            let outcome = try await ingest(text, name: "data.tsv", ["csv": csv])
            #expect(outcome.records.pairs.map { $0["question"]?.stringValue } == ["a,1"])
        }
        let outcome = try await ingest("question\tanswer\na\tb\n", name: "data.txt", ["format": "tsv"])
        #expect(outcome.records.pairs.count == 1)
    }

    @Test(
        arguments: [
            ("file:///a/b.tsv", nil, .tsv), ("file:///a/b#1.jsonl", nil, .jsonl), ("s3://a/really?.CSV", nil, .csv),
            ("https://a/b.parquet?c=d.csv", nil, .parquet), ("http://a/b.json#c", nil, .jsonl),
            ("http://a/b", "text/tab-separated-values; charset=utf-8", .tsv),
        ] as [(String, String?, IngestParameters.Format)])
    func theNameTellsTheFormat(_ uri: String, _ type: String?, _ format: IngestParameters.Format) throws {
        #expect(try SourceFormat.decide(.auto, SourceMetadata(uri: uri, contentType: type)) == format)
    }

    /// Whatever a folder stands for can also be read.
    @Test func everyFileOfAFolderHasAFormat() throws {
        let folder = try ScratchFolder()
        defer { withExtendedLifetime(folder) {} }
        for (ending, _) in SourceFormat.endings {
            try Data().write(to: URL(fileURLWithPath: folder.path + "/a" + ending))
        }
        let paths = try FileLocator.paths(for: "file://" + folder.path)
        #expect(paths.count == SourceFormat.endings.count)
        for path in paths { _ = try SourceFormat.decide(.auto, SourceMetadata(uri: "file://" + path)) }
    }
}
