import Crypto
import Synchronization
import Testing

@testable import ObjectStorage

@Suite(.timeLimit(.minutes(4))) struct TransferTests {
    @Test(arguments: [1, 1 << 20, 5 << 20, (5 << 20) + 1, (21 << 20) + 12345])
    func movesFilesOfAnySize(_ size: Int) async throws {
        try await Store.with { store async throws in
            let (path, sha256) = try store.makeFile("up", size: size, seed: UInt64(size))
            let reported = Mutex<[Int64]>([])
            let stored = try await store.client.upload(
                file: path, bucket: store.bucket, key: "k", contentType: "a/b", metadata: ["x": "y"],
                progress: { done, _ in reported.withLock { $0.append(done) } })
            #expect(stored.sha256 == sha256)
            #expect(reported.withLock { $0.last } == Int64(size))
            #expect(reported.withLock { $0 == $0.sorted() })
            let info = try #require(try await store.client.head(bucket: store.bucket, key: "k"))
            #expect(info.sha256 == sha256)
            #expect(info.contentType == "a/b")
            #expect(info.metadata["x"] == "y")
            let down = "\(store.folder)/down"
            let received = try await store.client.download(
                bucket: store.bucket, key: "k", toFile: down,
                expecting: ExpectedContent(size: Int64(size), sha256: sha256))
            #expect(received.sha256 == sha256)
            #expect(Hex.sha256(try Store.read(down)) == sha256)
            #expect(try DirectoryTree.files(below: store.folder) == ["down", "up"])
            var hasher = SHA256()
            for try await chunk in try await store.client.stream(bucket: store.bucket, key: "k") {
                hasher.update(data: chunk)
            }
            #expect(Hex.encode(hasher.finalize()) == sha256)
        }
    }

    @Test(arguments: [0, 10, 5 << 20, (5 << 20) + 1, 17 << 20])
    func uploadsStreamsOfUnknownLength(_ size: Int) async throws {
        try await Store.with { store async throws in
            let bytes = Store.bytes(size)
            let stored = try await store.client.upload(
                stream: ChunkSource(bytes: bytes, chunk: 700_001), bucket: store.bucket, key: "k", contentType: "a/b",
                metadata: ["x": "y"])
            #expect(stored.size == Int64(size))
            #expect(stored.sha256 == Hex.sha256(bytes))
            let info = try #require(try await store.client.head(bucket: store.bucket, key: "k"))
            #expect(info.sha256 == stored.sha256)
            #expect(info.contentType == "a/b")
            #expect(info.metadata["x"] == "y")
            #expect(try await store.client.get(bucket: store.bucket, key: "k") == bytes)
            #expect(try await store.client.listMultipartUploads(bucket: store.bucket).isEmpty)
        }
    }

    @Test func leavesNothingBehindWhenTheSourceFails() async throws {
        try await Store.with { store async throws in
            let error = await #expect(throws: S3Error.self) {
                try await store.client.upload(
                    stream: ChunkSource(bytes: Store.bytes(14 << 20), chunk: 1 << 20, fails: true),
                    bucket: store.bucket, key: "k")
            }
            #expect(error?.code == .source)
            #expect(error?.cause is ChunkSource.Broken)
            #expect(try await store.client.listMultipartUploads(bucket: store.bucket).isEmpty)
            #expect(try await store.client.head(bucket: store.bucket, key: "k") == nil)
        }
    }

    @Test func leavesNothingBehindWhenCancelled() async throws {
        try await Store.with { store async throws in
            let (path, _) = try store.makeFile("up", size: 60 << 20)
            let (progress, continuation) = AsyncStream.makeStream(of: Int64.self)
            let upload = Task {
                try await store.client.upload(
                    file: path, bucket: store.bucket, key: "k", progress: { done, _ in continuation.yield(done) })
            }
            for await _ in progress { break }
            upload.cancel()
            await #expect(throws: CancellationError.self) { try await upload.value }
            #expect(try await store.client.listMultipartUploads(bucket: store.bucket).isEmpty)
            #expect(try await store.client.head(bucket: store.bucket, key: "k") == nil)
        }
    }

    @Test func leavesNothingBehindWhenTheFileChanges() async throws {
        try await Store.with { store async throws in
            let client = try store.other {
                $0.transferPatience = .zero
                $0.concurrency = 1
            }
            let (path, _) = try store.makeFile("up", size: 30 << 20)
            let isChanged = Atomic(false)
            let error = await #expect(throws: S3Error.self) {
                try await client.upload(
                    file: path, bucket: store.bucket, key: "k",
                    progress: { _, _ in
                        guard !isChanged.exchange(true, ordering: .relaxed) else { return }
                        try? Store.write(Store.bytes(30 << 20, seed: 9), to: path)
                    })
            }
            #expect(error?.code == .digestMismatch)
            #expect(error.map { $0.message.contains(path) } ?? false)
            #expect(try await store.client.listMultipartUploads(bucket: store.bucket).isEmpty)
        }
    }

    @Test func leavesNothingBehindWhenADownloadIsCancelled() async throws {
        try await Store.with { store async throws in
            let (path, _) = try store.makeFile("up", size: 60 << 20)
            _ = try await store.client.upload(file: path, bucket: store.bucket, key: "k")
            let (progress, continuation) = AsyncStream.makeStream(of: Int64.self)
            let download = Task {
                try await store.client.download(
                    bucket: store.bucket, key: "k", toFile: "\(store.folder)/down",
                    progress: { done, _ in continuation.yield(done) })
            }
            for await _ in progress { break }
            download.cancel()
            await #expect(throws: CancellationError.self) { try await download.value }
            #expect(try DirectoryTree.files(below: store.folder) == ["up"])
        }
    }

    @Test func aConditionalUploadInPartsLosesCleanly() async throws {
        try await Store.with { store async throws in
            let (path, _) = try store.makeFile("up", size: 11 << 20)
            _ = try await store.client.put([1], bucket: store.bucket, key: "k")
            let error = await #expect(throws: S3Error.self) {
                try await store.client.upload(file: path, bucket: store.bucket, key: "k", ifNoneMatch: true)
            }
            #expect(error?.code == .preconditionFailed)
            #expect(try await store.client.get(bucket: store.bucket, key: "k") == [1])
            #expect(try await store.client.listMultipartUploads(bucket: store.bucket).isEmpty)
        }
    }
}
