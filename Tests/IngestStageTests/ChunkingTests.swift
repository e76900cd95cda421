import Pipeline
import Testing

@testable import IngestStage

@Suite struct ChunkingTests {
    @Test(.timeLimit(.minutes(4)), arguments: ["data.jsonl", "data.csv"])
    func theResultDoesNotDependOnTheChunks(_ name: String) async throws {
        let lines =
            (1...40).map(pairLine) + [
                "{oops", String(repeating: "y", count: 900), "{\"question\":\"é\",\"answer\":\"ü 😀\"}",
            ]
        let rows =
            (1...40).map { "q\($0),\"answer \"\"\($0)\"\"\r\nand, more\"\r\n" }
            + ["q,\"open\nq,a\"b\n", "z,\(String(repeating: "y", count: 900))\n", "x,é\n"]
        let text = name == "data.csv" ? "question,answer\n" + rows.joined() : lines.joined(separator: "\n")
        let bytes = Array(text.utf8)
        let parameters: [String: JSONValue] = [
            "error_budget": ["fraction": 1], "limits": ["max_record_bytes": 300],
        ]
        let whole = try await ingest([MemorySource(bytes, name: name)], parameters)
        let version = try #require(whole.manifest?.version)
        var state: UInt64 = 17
        for round in 0..<60 {
            let sizes = (0..<7).map { _ in
                state = TextNormalizer.mix(state)
                return 1 + Int(state % (round < 20 ? 3 : 97))
            }
            let cut = try await ingest([MemorySource(bytes, name: name, sizes: sizes)], parameters)
            #expect(cut.manifest?.version == version, "sizes \(sizes)")
            #expect(cut.quarantine == whole.quarantine, "sizes \(sizes)")
        }
    }
}
