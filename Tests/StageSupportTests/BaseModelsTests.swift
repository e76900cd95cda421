import Foundation
import HTTPTransport
import Logging
import ObjectStorage
import Pipeline
import StageSupport
import TestServers
import Testing

/// Equal weights under several names, in a bucket of the test's own.
@Suite(.timeLimit(.minutes(4))) struct BaseModelsTests {
    private static let prefix = "models/files/d1/"

    /// A store, a folder with a model of two files, and a way to import it.
    private struct Scene {
        let storage: S3Client
        let bucket: String
        let folder: String

        init() async throws {
            let server = try await TestServers.shared.s3()
            let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            storage = try S3Client(
                configuration: S3Configuration(
                    endpoint: server.endpoint, region: server.region,
                    credentials: S3Credentials(accessKeyID: server.accessKey, secretAccessKey: server.secretKey)),
                transport: HTTPTransport(logger: quiet), logger: quiet)
            bucket = "models-" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
            folder = NSTemporaryDirectory() + "/martlet-" + bucket
            try await storage.createBucket(bucket)
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try write("config.json", "{}")
            try write("model.safetensors", "weights")
        }

        func write(_ name: String, _ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
        }

        func store(_ name: String, licence: String) async throws -> BaseModel {
            try await BaseModels(storage: storage, bucket: bucket).store(
                directory: folder, name: name, digest: "d1", parameters: 7, architecture: "A", licence: licence,
                source: ["kind": .string(licence)], importedAt: .now)
        }

        /// Fails when a file differs from what the manifest says.
        func fetch(_ model: BaseModel) async throws {
            let target = folder + "-" + UUID().uuidString
            defer { try? FileManager.default.removeItem(atPath: target) }
            try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
            try await ArtifactStore(client: storage, bucket: bucket).fetch(model.artifacts.location, into: target)
        }

        func remove() async {
            // Best effort: the bucket and the folder have names of their own.
            _ = try? await storage.deletePrefix(bucket: bucket, prefix: "models/")
            try? await storage.deleteBucket(bucket)
            try? FileManager.default.removeItem(atPath: folder)
        }
    }

    private func with(_ body: (Scene) async throws -> Void) async throws {
        let scene = try await Scene()
        do { try await body(scene) } catch {
            await scene.remove()
            throw error
        }
        await scene.remove()
    }

    /// A set that was published with a file besides the model's, as an import once did, serves the second name too.
    @Test func equalWeightsUnderAnotherLicenceLeaveTheStoredOnesAlone() async throws {
        try await with { scene in
            try scene.write("extra.json", "mit")
            let first = try await scene.store("one", licence: "mit")
            try FileManager.default.removeItem(atPath: scene.folder + "/extra.json")
            let second = try await scene.store("two", licence: "apache-2.0")
            #expect(second.artifacts == first.artifacts)
            #expect(second.licence == "apache-2.0")
            #expect(second.bytes == first.bytes)
            try await scene.fetch(first)
            try await scene.fetch(second)
        }
    }

    @Test func aDamagedSetIsStoredAgain() async throws {
        try await with { scene in
            try scene.write("extra.json", "mit")
            _ = try await scene.store("one", licence: "mit")
            _ = try await scene.storage.put(
                Array("other".utf8), bucket: scene.bucket, key: Self.prefix + "extra.json")
            try FileManager.default.removeItem(atPath: scene.folder + "/extra.json")
            let again = try await scene.store("one", licence: "mit")
            try await scene.fetch(again)
        }
    }
}
