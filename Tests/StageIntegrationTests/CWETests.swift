import Configuration
import Foundation
import Pipeline
import Testing

@testable import IngestStage

/// MITRE's real data, as the cwe2 package ships it, with the parameters of the pipelines themselves.
@Suite struct CWETests {
    @Test(.timeLimit(.minutes(3)), arguments: ["security-qa", "security-qa-tinyllama"])
    func theComprehensiveViewIsRead(_ pipeline: String) async throws {
        let folder = try await StagesEnvironment.locate("cwe")
        let source = "file://\(folder)/helpful_views/2000.csv"
        let spec = try PipelineFile.load(path: "\(StagesEnvironment.project)/config/pipelines/\(pipeline).yaml")
        let stage = try #require(spec.stage(named: "ingest"))
        let filled = try ParameterTemplate.fill(
            stage.parameters, with: spec.parameters.merging(["source": .string(source)]) { $1 })
        let place = NSTemporaryDirectory() + "/martlet-cwe-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: place) }
        let job = IngestJob(parameters: try IngestParameters(filled), scratch: place) { Timestamp(microseconds: 0) }
        var sources: [any ByteSource] = []
        for path in try FileLocator.paths(for: source) { sources.append(try FileByteSource(path: path)) }
        let manifest = try await job.run(sources: sources, sink: DirectorySink(directory: place))
        #expect(manifest.counts.read == 963)
        #expect(manifest.counts.bad == 0)
        #expect(manifest.counts.withoutPairs == 25, "the deprecated entries")
        #expect((8_000...10_000).contains(manifest.counts.written))
        #expect(manifest.jsonValue["license"]?["text"]?.stringValue?.contains("reproduce MITRE") == true)
        try check(String(contentsOfFile: place + "/records-00000.jsonl", encoding: .utf8))
    }

    /// What must never be read in a question or an answer: packing, holes, repeated words.
    private func check(_ records: String) throws {
        var questions: Set<String> = []
        for line in records.split(separator: "\n") {
            let record = try JSONDecoder().decode(JSONValue.self, from: Data(line.utf8))
            let question = try #require(record["question"]?.stringValue)
            let answer = try #require(record["answer"]?.stringValue)
            #expect(questions.insert(question).inserted, "twice: \(question)")
            for text in [question, answer] {
                for part in ["PHASE", "STRATEGY", "DESCRIPTION", "EFFECTIVENESS", "SCOPE", "IMPACT", "LINK"] {
                    #expect(!text.contains(":\(part):"), "packing: \(text)")
                }
                #expect(!text.contains("  ") && !text.contains(" ()"), "a hole: \(text)")
            }
            #expect(!question.contains(" ?"), "a hole: \(question)")
            #expect(question.hasSuffix("?") || question.hasSuffix("."))
        }
    }
}
