import Crypto
import HTTPTransport
import Testing

@testable import ObjectStorage

/// Bytes that are not those that were written are never returned as if they were.
@Suite(.timeLimit(.minutes(4))) struct CorruptionTests {
    /// Stores other bytes under a digest that is not theirs, as rot or a careless tool would.
    private func corrupt(_ store: Store, key: String, size: Int) async throws -> String {
        let claimed = Hex.sha256(Store.bytes(size, seed: 1))
        let bytes = Store.bytes(size, seed: 2)
        let hash = Hex.sha256(bytes)
        let request = S3Request(
            method: "PUT", bucket: store.bucket, key: key,
            headers: [("x-amz-meta-\(S3ObjectInfo.digestMetadata)", claimed)], body: .bytes(bytes), payloadHash: hash)
        _ = try await store.client.exchange(request)
        return claimed
    }

    @Test(arguments: [1000, 12 << 20])
    func isFoundByEveryReader(_ size: Int) async throws {
        try await Store.with { store async throws in
            let claimed = try await corrupt(store, key: "k", size: size)
            let path = "\(store.folder)/down"
            let get = await #expect(throws: S3Error.self) {
                try await store.client.get(bucket: store.bucket, key: "k")
            }
            let download = await #expect(throws: S3Error.self) {
                try await store.client.download(bucket: store.bucket, key: "k", toFile: path)
            }
            var received = 0
            let stream = await #expect(throws: S3Error.self) {
                for try await chunk in try await store.client.stream(bucket: store.bucket, key: "k") {
                    received += chunk.count
                }
            }
            #expect(received == size)
            for error in [get, download, stream] {
                #expect(error?.code == .digestMismatch)
                let text = error.map { "\($0)" } ?? ""
                #expect(text.contains(claimed))
                #expect(text.contains(Hex.sha256(Store.bytes(size, seed: 2))))
                #expect(text.contains("s3://\(store.bucket)/k"))
            }
            #expect(try DirectoryTree.files(below: store.folder).isEmpty)
        }
    }

    @Test func isFoundAgainstWhatTheCallerKnows() async throws {
        try await Store.with { store async throws in
            _ = try await store.client.put([1, 2, 3], bucket: store.bucket, key: "k")
            let path = "\(store.folder)/down"
            let digest = await #expect(throws: S3Error.self) {
                try await store.client.download(
                    bucket: store.bucket, key: "k", toFile: path,
                    expecting: ExpectedContent(sha256: Hex.sha256([1, 2, 4])))
            }
            #expect(digest?.code == .digestMismatch)
            let size = await #expect(throws: S3Error.self) {
                try await store.client.download(
                    bucket: store.bucket, key: "k", toFile: path, expecting: ExpectedContent(size: 4))
            }
            #expect(size?.code == .objectChanged)
        }
    }

    @Test func isRefusedByTheStoreOnTheWayUp() async throws {
        try await Store.with { store async throws in
            let client = try store.other {
                $0.transferPatience = .zero; $0.maximumAttempts = 1
            }
            let error = await #expect(throws: S3Error.self) {
                try await client.put(
                    .bytes([1, 2, 3]), digest: SHA256.hash(data: [1, 2, 4] as [UInt8]), bucket: store.bucket, key: "k",
                    contentType: "a/b", metadata: [:], ifNoneMatch: false)
            }
            #expect(error?.code == .digestMismatch)
            #expect(try await store.client.head(bucket: store.bucket, key: "k") == nil)
        }
    }

    @Test func aReplacedObjectIsNotMixed() async throws {
        try await Store.with { store async throws in
            _ = try await store.client.put(Store.bytes(100), bucket: store.bucket, key: "k")
            let old = try #require(try await store.client.head(bucket: store.bucket, key: "k"))
            _ = try await store.client.put(Store.bytes(100, seed: 2), bucket: store.bucket, key: "k")
            let error = await #expect(throws: S3Error.self) {
                try await store.client.open(bucket: store.bucket, key: "k", range: .from(50), etag: old.etag)
            }
            #expect(error?.code == .objectChanged)
        }
    }
}
