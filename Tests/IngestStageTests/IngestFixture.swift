import Foundation
import Pipeline
import Testing

@testable import IngestStage

/// Bytes in memory, cut into chunks of the given sizes, over and over.
struct MemorySource: ByteSource {
    let metadata: SourceMetadata
    let bytes: [UInt8]
    let sizes: [Int]

    init(_ bytes: [UInt8], name: String = "data.jsonl", sizes: [Int] = [1 << 20]) {
        metadata = SourceMetadata(uri: "memory:///" + name, size: Int64(bytes.count))
        self.bytes = bytes
        self.sizes = sizes
    }

    func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable {
        let (bytes, sizes) = (bytes, sizes)
        let (stream, continuation) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
        var start = 0
        var turn = 0
        while start < bytes.count {
            let end = min(bytes.count, start + sizes[turn % sizes.count])
            continuation.yield(Array(bytes[start..<end]))
            start = end
            turn += 1
        }
        continuation.finish()
        return stream
    }
}

/// What one ingest left behind.
struct Outcome {
    var manifest: DatasetManifest?
    var error: IngestError?
    var records: String
    var quarantine: String
}

func ingest(
    _ sources: [MemorySource], _ parameters: [String: JSONValue] = [:]
) async throws -> Outcome {
    var parameters = parameters
    parameters["source"] = "memory:///"
    let folder = try ScratchFolder()
    let sink = DirectorySink(directory: folder.path)
    var outcome = Outcome(records: "", quarantine: "")
    do throws(IngestError) {
        let decoded = try IngestParameters(.object(parameters))
        let job = IngestJob(parameters: decoded, scratch: folder.path) { Timestamp(microseconds: 0) }
        do {
            outcome.manifest = try await job.run(sources: sources, sink: sink)
        } catch let error as IngestError {
            throw error
        } catch {
            Issue.record("unexpected \(error)")
        }
    } catch {
        outcome.error = error
    }
    outcome.records = (try? folder.text("records-00000.jsonl")) ?? ""
    outcome.quarantine = (try? folder.text("quarantine.jsonl")) ?? ""
    return outcome
}

func ingest(
    _ text: String, name: String = "data.jsonl", _ parameters: [String: JSONValue] = [:]
) async throws -> Outcome {
    try await ingest([MemorySource(Array(text.utf8), name: name)], parameters)
}

/// Distinct pairs that are no near-duplicates of one another.
func pairLine(_ number: Int) -> String {
    #"{"question":"What is item \#(number)?","answer":"Item \#(number) is \#(String(number * 7_919, radix: 3)).","source_id":"s\#(number)"}"#
}

extension String {
    /// The reasons in a quarantine file, in its order.
    var reasons: [(line: Int, field: String, rule: String)] {
        split(separator: "\n").flatMap { text -> [(line: Int, field: String, rule: String)] in
            let entry = try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
            let line = Int(entry?["line"]?.intValue ?? -1)
            return (entry?["reasons"]?.arrayValue ?? []).map {
                (line, $0["field"]?.stringValue ?? "-", $0["rule"]?.stringValue ?? "-")
            }
        }
    }

    /// The records in a shard, in its order.
    var pairs: [JSONValue] {
        split(separator: "\n").compactMap { try? JSONDecoder().decode(JSONValue.self, from: Data($0.utf8)) }
    }
}
