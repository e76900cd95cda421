import Crypto
import Foundation
import HTTPTransport
import ObjectStorage
import Pipeline
import Testing

@testable import IngestStage
@testable import StageSupport
@testable import WorkerRuntime

/// The stage as a worker runs it: sources on real servers, the dataset in a real store.
@Suite struct IngestHandlerTests {
    private static let local = SourceAccess(allowing: ["127.0.0.0/8"])
    private static let row = #"{"question":"What is one?","answer":"The first number."}"#

    private func handler(_ bench: Workbench, _ access: SourceAccess = local) async throws -> IngestHandler {
        let environment = try await StagesEnvironment.find()
        return IngestHandler(transport: bench.transport, access: access) { environment }
    }

    private func failure(
        _ source: String, _ bench: Workbench, access: SourceAccess = local, storage: S3Client? = nil,
        _ more: [String: JSONValue] = [:]
    ) async throws -> Failure {
        let context = bench.context(
            "ingest", parameters: .object(more.merging(["source": .string(source)]) { $1 }), storage: storage)
        let handler = try await handler(bench, access)
        do {
            _ = try await handler.run(context)
        } catch {
            return FailureClassifier.failure(for: error)
        }
        throw StageFailure(.permanent, "test", "\(source) was taken")
    }

    private func manifest(_ output: StageOutput?, _ bench: Workbench) async throws -> JSONValue {
        let reference = try #require(output?.artifacts)
        let folder = bench.folder + "/fetched-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try await ArtifactStore(client: bench.storage, bucket: reference.bucket).fetch(
            reference.location, into: folder)
        return try JSONDecoder().decode(
            JSONValue.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/" + DatasetManifest.name)))
    }

    // MARK: Where data comes from

    @Test(.timeLimit(.minutes(4)), arguments: ["rows", "untagged", "chunked"])
    func aWebServersFileBecomesADataset(_ name: String) async throws {
        let peer = try await Peer.start("files")
        try await Workbench.with { bench in
            let context = bench.context(
                "ingest", parameters: ["source": .string("\(peer.url)/\(name).jsonl?signature=t0psecret")])
            let handler = try await handler(bench)
            let result = try await handler.run(context)
            #expect(result.output?.values["counts"]?["written"]?.intValue == 200)
            let manifest = try await manifest(result.output, bench)
            #expect(manifest["sources"]?.arrayValue?.first?["uri"]?.stringValue == "\(peer.url)/\(name).jsonl")
            #expect(!context.log.text.contains("t0psecret"))
            #expect(!manifest.canonicalJSON.contains("t0psecret"))
            let validator = try await handler.cacheValidator(context)
            #expect((validator == nil) == (name == "untagged"), "only a tagged file can be known again")
        }
    }

    @Test(.timeLimit(.minutes(4)), arguments: ["file", "s3"])
    func oneContentIsOneDatasetWhereverItLies(_ scheme: String) async throws {
        try await Workbench.with { bench in
            let text = (0..<50).map {
                #"{"question":"What is \#($0)?","answer":"It is \#(String($0, radix: 2))."}"# + "\n"
            }
            .joined()
            let path = try bench.file("rows.jsonl", text)
            _ = try await bench.storage.put(
                Array(text.utf8), bucket: bench.bucket, key: "in/new data+1.jsonl", contentType: "text/plain")
            let source = scheme == "file" ? "file://" + path : "s3://\(bench.bucket)/in/new data+1.jsonl"
            let handler = try await handler(bench)
            let context = bench.context("ingest", parameters: ["source": .string(source)])
            let output = try #require(try await handler.run(context).output)
            let again = try #require(
                try await handler.run(bench.context("ingest", parameters: ["source": .string(source)])).output)
            #expect(output.digest == again.digest)
            #expect(output.values["counts"]?["written"]?.intValue == 50)
            let first = try await handler.cacheValidator(context)
            #expect(first != nil)
            _ = try await bench.storage.put(
                Array((text + text).utf8), bucket: bench.bucket, key: "in/new data+1.jsonl", contentType: "text/plain")
            _ = try bench.file("rows.jsonl", text + text)
            #expect(try await handler.cacheValidator(context) != first)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func parquetIsReadThroughPython() async throws {
        let materials = try await Materials.shared()
        try await Workbench.with { bench in
            let context = bench.context("ingest", parameters: ["source": .string("file://\(materials)/rows.parquet")])
            let output = try #require(try await handler(bench).run(context).output)
            #expect(output.values["counts"]?["written"]?.intValue == 50)
            let manifest = try await manifest(output, bench)
            let source = try #require(manifest["sources"]?.arrayValue?.first)
            #expect(source["uri"]?.stringValue?.hasSuffix("rows.parquet") == true)
            let raw = try Data(contentsOf: URL(fileURLWithPath: materials + "/rows.parquet"))
            #expect(source["bytes"]?.intValue == Int64(raw.count))
            #expect(source["sha256"]?.stringValue == hexadecimal(SHA256.hash(data: raw)))
            for (limit, code) in [
                (["max_bytes": .int(Int64(raw.count - 1))] as JSONValue, "ingest.limit_exceeded"),
                (["time_limit_seconds": 0.001], "ingest.time_limit_exceeded"),
            ] {
                let failure = try await failure("file://\(materials)/rows.parquet", bench, ["limits": limit])
                #expect(failure.code == code, "\(failure.message)")
            }
            let broken = try bench.file("broken.parquet", "PAR1 is not enough")
            let failure = try await failure("file://" + broken, bench)
            #expect(failure.class == .permanent)
            #expect(failure.message.contains("broken.parquet") || failure.message.contains("Parquet"))
        }
    }

    // MARK: What is refused

    @Test(
        .timeLimit(.minutes(4)),
        arguments: [
            ("missing.jsonl", "ingest.source_not_found", Failure.Class.permanent),
            ("private.jsonl", "ingest.source_unreadable", .permanent),
            ("busy.jsonl", "ingest.source_unreadable", .retryable),
            ("changing.jsonl", "ingest.source_changed", .retryable),
            ("cut.jsonl", "http.truncated_body", .retryable),
            ("elsewhere.jsonl", "ingest.source_refused", .permanent),
        ])
    func aWebServersRefusalIsNamed(_ name: String, _ code: String, _ kind: Failure.Class) async throws {
        let peer = try await Peer.start("files")
        try await Workbench.with { bench in
            let failure = try await failure("\(peer.url)/\(name)", bench)
            #expect(failure.code == code, "\(failure.message)")
            #expect(failure.class == kind)
            #expect(failure.message.contains(name == "elsewhere.jsonl" ? "link-local" : name), "\(failure.message)")
        }
    }

    @Test(
        .timeLimit(.minutes(4)),
        arguments: [
            ("http://169.254.169.254/x.jsonl", ["0.0.0.0/0"]), ("http://[fd00:ec2::254]/x.jsonl", ["::/0"]),
            ("http://[::ffff:169.254.169.254]/x.jsonl", ["::/0", "0.0.0.0/0"]), ("http://127.0.0.1:9/x.jsonl", []),
            ("http://localhost:9/x.jsonl", []), ("http://0.0.0.0:9/x.jsonl", []),
        ])
    func addressesThatAreNobodysSourceAreRefused(_ source: String, _ allowed: [String]) async throws {
        try await Workbench.with { bench in
            let failure = try await failure(source, bench, access: SourceAccess(allowing: allowed))
            #expect(failure.code == "ingest.source_refused", "\(failure.message)")
            #expect(failure.class == .permanent)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func theStoresRefusalsAreNamed() async throws {
        try await Workbench.with { bench in
            let bucket = try await failure("s3://no-such-bucket-\(bench.bucket)/a.jsonl", bench)
            #expect(bucket.code == "ingest.source_not_found")
            #expect(bucket.message.contains("the bucket \"no-such-bucket-\(bench.bucket)\" does not exist"))
            let key = try await failure("s3://\(bench.bucket)/a.jsonl", bench)
            #expect(key.message.contains("no such object in the bucket"))
            let stranger = try await failure("s3://\(bench.bucket)/a.jsonl", bench, storage: bench.strangersStorage())
            #expect(stranger.class == .permanent)
            #expect(["s3.access_denied", "s3.signature_refused"].contains(stranger.code), "\(stranger)")
            #expect(!stranger.message.contains("wrong-secret-key"))
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func filesOutsideTheRootsAreRefused() async throws {
        try await Workbench.with { bench in
            let inside = bench.folder + "/inside"
            try FileManager.default.createDirectory(atPath: inside, withIntermediateDirectories: true)
            let secret = try bench.file("secret.jsonl", Self.row)
            try FileManager.default.createSymbolicLink(
                atPath: inside + "/link.jsonl", withDestinationPath: secret)
            try Data(Self.row.utf8).write(to: URL(fileURLWithPath: inside + "/fine.jsonl"))
            let access = SourceAccess(fileRoots: [inside])
            for source in [
                secret, inside + "/link.jsonl", inside + "/../secret.jsonl", bench.folder + "/*.jsonl", bench.folder,
                "/etc/no-such-file.jsonl", inside,
            ] {
                let failure = try await failure("file://" + source, bench, access: access)
                #expect(failure.code == "ingest.source_refused", "\(source): \(failure.message)")
            }
            let missing = try await failure("file://\(inside)/none.jsonl", bench, access: access)
            #expect(missing.code == "ingest.source_not_found")
            let context = bench.context("ingest", parameters: ["source": .string("file://\(inside)/fine.jsonl")])
            #expect(try await handler(bench, access).run(context).output != nil)
        }
    }

    // MARK: After a failure

    @Test(.timeLimit(.minutes(4)))
    func theQuarantineOfAFailedAttemptIsKept() async throws {
        try await Workbench.with { bench in
            let path = try bench.file("rows.jsonl", Self.row + "\n{oops}\n" + #"{"question":"no answer"}"# + "\n")
            let failure = try await failure("file://" + path, bench)
            #expect(failure.code == "ingest.error_budget_exceeded")
            let place = try #require(failure.message.firstMatch(of: /s3:\/\/[^ ]+?\/(runs\/[^ ]+\.jsonl)/))
            let kept = try await bench.storage.get(bucket: bench.bucket, key: String(place.1), upTo: 1 << 20)
            let text = String(decoding: kept, as: UTF8.self)
            #expect(text.contains("{oops}"))
            #expect(text.contains(#""field":"answer""#))
            #expect(failure.details?["reasons"]?.arrayValue?.count == 2)
        }
    }
}
