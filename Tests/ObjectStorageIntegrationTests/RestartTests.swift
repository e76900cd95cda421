import LocalStack
import Synchronization
import TestServers
import Testing

@testable import ObjectStorage

/// A transfer of gigabytes must not begin again because the store was restarted.
@Suite(.timeLimit(.minutes(3))) struct RestartTests {
    @Test func transfersOutliveARestartOfTheStore() async throws {
        let stack = try await TestServers.fresh(.s3)
        let endpoints = try await stack.endpoints()
        let configuration = S3Configuration(
            endpoint: endpoints.s3Endpoint, region: endpoints.s3Region,
            credentials: S3Credentials(accessKeyID: endpoints.s3AccessKey, secretAccessKey: endpoints.s3SecretKey),
            partSize: 5 << 20, concurrency: 2)
        try await Store.with(configuration: configuration) { store async throws in
            let (path, sha256) = try store.makeFile("up", size: 100 << 20)
            _ = try await store.client.upload(file: path, bucket: store.bucket, key: "before")
            try await Self.during(stack) { progress in
                let stored = try await store.client.download(
                    bucket: store.bucket, key: "before", toFile: "\(store.folder)/down", progress: progress)
                #expect(stored.sha256 == sha256)
            }
            #expect(Hex.sha256(try Store.read("\(store.folder)/down")) == sha256)
            try await Self.during(stack) { progress in
                let stored = try await store.client.upload(
                    file: path, bucket: store.bucket, key: "during", progress: progress)
                #expect(stored.sha256 == sha256)
            }
            #expect(try await store.client.head(bucket: store.bucket, key: "during")?.sha256 == sha256)
        }
        try await stack.stop()
    }

    /// Runs a transfer and restarts the store after its first part.
    private static func during(
        _ stack: LocalStack, _ transfer: @escaping @Sendable (@escaping TransferProgress) async throws -> Void
    ) async throws {
        let (parts, continuation) = AsyncStream.makeStream(of: Int64.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { continuation.finish() }
                try await transfer { done, _ in continuation.yield(done) }
            }
            group.addTask {
                for await _ in parts { break }
                try await stack.restart(.s3)
            }
            try await group.waitForAll()
        }
    }
}
