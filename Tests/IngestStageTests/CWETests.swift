import Foundation
import Pipeline
import Testing

@testable import IngestStage

/// MITRE's real data, as the cwe2 package ships it; the folder is named by `MARTLET_CWE_DIR`, the stage's
/// parameters as JSON by `MARTLET_CWE_PARAMETERS`.
@Suite struct CWETests {
    private static let folder = ProcessInfo.processInfo.environment["MARTLET_CWE_DIR"]

    @Test(.enabled(if: folder != nil, "MARTLET_CWE_DIR names no folder"), .timeLimit(.minutes(2)))
    func theComprehensiveViewIsRead() async throws {
        let folder = try #require(Self.folder)
        let text = try String(
            contentsOfFile: ProcessInfo.processInfo.environment["MARTLET_CWE_PARAMETERS"] ?? "", encoding: .utf8)
        let parameters = try IngestParameters(JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)))
        let place = try ScratchFolder()
        let job = IngestJob(parameters: parameters, scratch: place.path) { Timestamp(microseconds: 0) }
        let source = try FileByteSource(path: folder + "/helpful_views/2000.csv")
        let manifest = try await job.run(sources: [source], sink: DirectorySink(directory: place.path))
        #expect(manifest.counts.read == 963)
        #expect(manifest.counts.bad == 0)
        #expect(manifest.counts.withoutPairs == 25, "the deprecated entries")
        #expect((9_000...10_000).contains(manifest.counts.written))
        #expect(manifest.jsonValue["license"]?["text"]?.stringValue?.contains("reproduce MITRE") == true)
    }
}
