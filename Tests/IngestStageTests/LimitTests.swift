import Foundation
import Pipeline
import Testing

@testable import IngestStage

@Suite struct LimitTests {
    private let lines = (1...500).map(pairLine).joined(separator: "\n") + "\n"

    @Test func tooManyBytesOrRecordsEndTheIngest() async throws {
        for (limit, word) in [
            (["max_bytes": 1_000] as JSONValue, "limits.max_bytes"), (["max_records": 499], "max_records"),
        ] {
            let outcome = try await ingest([MemorySource(Array(lines.utf8), sizes: [256])], ["limits": limit])
            #expect(outcome.error?.code == .limitExceeded)
            #expect(outcome.error?.message.contains(word) == true)
            #expect(outcome.manifest == nil)
        }
        #expect(try await ingest(lines, ["limits": ["max_records": 500]]).manifest?.counts.read == 500)
    }

    @Test func limitsCountOverAllSources() async throws {
        let source = MemorySource(Array(lines.utf8))
        let outcome = try await ingest([source, source], ["limits": ["max_records": 600]])
        #expect(outcome.error?.code == .limitExceeded)
    }

    @Test func aSlowSourceEndsAtTheTimeLimit() async throws {
        let outcome = try await ingest(
            [MemorySource(Array(lines.utf8), sizes: [1])], ["limits": ["time_limit_seconds": 0.001]])
        #expect(outcome.error?.code == .timeLimitExceeded)
        #expect(outcome.error?.message.contains("limits.time_limit_seconds") == true)
    }

    /// What came before the reading, such as the conversion of another format, has used up the time.
    @Test func theClockMayRunBeforeTheSourcesAreRead() async throws {
        let folder = try ScratchFolder()
        defer { withExtendedLifetime(folder) {} }
        var parameters = IngestParameters(sources: ["memory:///"])
        parameters.limits.timeLimit = .zero
        let clock = IngestClock(parameters.limits)
        parameters.limits.timeLimit = .seconds(600)
        let job = IngestJob(parameters: parameters, scratch: folder.path, clock: clock) { Timestamp(microseconds: 0) }
        let error = await #expect(throws: IngestError.self) {
            try await job.run(
                sources: [MemorySource(Array(lines.utf8))], sink: DirectorySink(directory: folder.path))
        }
        #expect(error?.code == .timeLimitExceeded)
    }

    @Test func aConvertedSourceIsNamedByItsOriginal() async throws {
        let folder = try ScratchFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = folder.path + "/lines.jsonl"
        try Data(lines.utf8).write(to: URL(fileURLWithPath: path))
        let original = SourceMetadata(uri: "memory:///data.parquet", size: 4_711, validator: "v1")
        let source = ConvertedSource(
            file: try FileByteSource(path: path), original: original, bytes: 4_711, sha256: "5ha")
        let job = IngestJob(parameters: IngestParameters(sources: ["memory:///"]), scratch: folder.path) {
            Timestamp(microseconds: 0)
        }
        let manifest = try await job.run(sources: [source], sink: DirectorySink(directory: folder.path))
        let named = try #require(manifest.jsonValue["sources"]?.arrayValue?.first)
        #expect(named["uri"]?.stringValue == "memory:///data.parquet")
        #expect(named["bytes"]?.intValue == 4_711)
        #expect(named["sha256"]?.stringValue == "5ha")
        #expect(manifest.counts.bytes == Int64(lines.utf8.count))
    }

    @Test func aRecordOfExactlyTheLimitIsTaken() async throws {
        let length = pairLine(1).utf8.count
        for (limit, bad) in [(length, 0), (length - 1, 1)] {
            for ending in ["\n", "\r\n", ""] {
                let outcome = try await ingest(
                    (2...9).map { _ in "" }.joined(separator: "\n") + pairLine(1) + ending,
                    ["limits": ["max_record_bytes": .int(Int64(limit))], "error_budget": ["fraction": 1]])
                let counts = outcome.manifest?.counts
                #expect(bad == 0 ? counts?.written == 1 : outcome.error?.code == .noValidRecords)
            }
        }
    }

    @Test func theBudgetIsAFractionOrACount() async throws {
        let bad = lines + "{\n{\n{\n"
        #expect(try await ingest(bad, ["error_budget": ["fraction": 0.01]]).manifest?.counts.bad == 3)
        #expect(try await ingest(bad, ["error_budget": ["fraction": 0.005]]).error?.code == .errorBudgetExceeded)
        let counted = try await ingest(bad, ["error_budget": ["fraction": 1, "count": 2]])
        #expect(counted.error?.message.contains("3 of 503 records are bad") == true)
        #expect(counted.error?.reasons.map(\.line) == [501, 502, 503])
    }

    /// A source that is bad throughout is given up early, not after a hundred gigabytes.
    @Test func aHopelessSourceIsNotReadToItsEnd() async throws {
        let outcome = try await ingest(
            String(repeating: "{\n", count: 5_000), ["error_budget": ["fraction": 0.5, "early_check_after": 100]])
        #expect(outcome.error?.message.hasPrefix("100 of 100 records are bad") == true)
    }

    @Test func shardsAreClosedAtTheirSizeAndNamedInOrder() async throws {
        let folder = try ScratchFolder()
        var parameters = IngestParameters(sources: ["memory:///"])
        parameters.shardBytes = 8_192
        parameters.duplicates.removesNear = false
        let job = IngestJob(parameters: parameters, scratch: folder.path) { Timestamp(microseconds: 0) }
        let manifest = try await job.run(
            sources: [MemorySource(Array(lines.utf8))], sink: DirectorySink(directory: folder.path))
        #expect(manifest.shards.count > 3)
        var records = 0
        for (index, shard) in manifest.shards.enumerated() {
            let name = try #require(shard["name"]?.stringValue)
            #expect(name == "records-0000\(index).jsonl")
            let text = try folder.text(name)
            #expect(shard["sha256"]?.stringValue == hexadecimal(Digest.sha256(text)))
            #expect(shard["bytes"]?.intValue == Int64(text.utf8.count))
            #expect(index == manifest.shards.count - 1 || (8_192..<9_000).contains(text.utf8.count))
            #expect(text.hasSuffix("\n"))
            records += text.pairs.count
        }
        #expect(records == 500)
    }

    @Test(.timeLimit(.minutes(4))) func aCancelledIngestStopsInMidSource() async throws {
        let folder = try ScratchFolder()
        let path = folder.path
        let source = EndlessSource()
        let (started, signal) = AsyncStream<Void>.makeStream()
        let work = Task {
            let job = IngestJob(parameters: IngestParameters(sources: ["endless:///"]), scratch: path) {
                Timestamp(microseconds: 0)
            }
            return try await job.run(sources: [source], sink: DirectorySink(directory: path)) { _ in signal.yield() }
        }
        for await _ in started { break }
        work.cancel()
        await #expect(throws: CancellationError.self) { try await work.value }
    }
}

/// Good records without end.
private struct EndlessSource: ByteSource, AsyncSequence {
    typealias Element = [UInt8]
    let metadata = SourceMetadata(uri: "endless:///data.jsonl")

    func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable { ErasedChunks(self) }

    func makeAsyncIterator() -> Iterator { Iterator() }

    struct Iterator: AsyncIteratorProtocol {
        private var number = 0

        mutating func next() async throws -> [UInt8]? {
            number += 1
            return Array((pairLine(number) + "\n").utf8)
        }
    }
}
