import Testing

@testable import ObjectStorage

/// What goes wrong is told by name, at once.
@Suite(.timeLimit(.minutes(4))) struct RefusalTests {
    @Test func namesAWrongSecretAndAnUnknownKey() async throws {
        try await Store.with { store async throws in
            _ = try await store.client.put([1], bucket: store.bucket, key: "k")
            let wrong = try store.other { $0.credentials?.secretAccessKey = "not the secret" }
            let unknown = try store.other { $0.credentials?.accessKeyID = "nobody" }
            for client in [wrong, unknown] {
                let get = await #expect(throws: S3Error.self) { try await client.get(bucket: store.bucket, key: "k") }
                #expect(get?.code == .signatureRefused)
                #expect(get?.status == 403)
                // HEAD gets no body from the server; the reason must be found all the same.
                let head = await #expect(throws: S3Error.self) { try await client.head(bucket: store.bucket, key: "k") }
                #expect(head?.code == .signatureRefused)
                let bucket = await #expect(throws: S3Error.self) { try await client.bucketExists(store.bucket) }
                #expect(bucket?.code == .signatureRefused)
                for error in [get, head, bucket] {
                    #expect(error.map { !"\($0)".contains("not the secret") } ?? false)
                }
            }
        }
    }

    @Test func namesAMissingBucketAndAMissingKey() async throws {
        try await Store.with { store async throws in
            let client = store.client
            #expect(try await client.bucketExists("no-such-bucket-here") == false)
            #expect(try await client.head(bucket: store.bucket, key: "missing") == nil)
            let key = await #expect(throws: S3Error.self) {
                try await client.get(bucket: store.bucket, key: "missing")
            }
            #expect(key?.code == .noSuchKey)
            #expect(key.map { "\($0)".contains("s3://\(store.bucket)/missing") } ?? false)
            let path = "\(store.folder)/x"
            let download = await #expect(throws: S3Error.self) {
                try await client.download(bucket: store.bucket, key: "missing", toFile: path)
            }
            #expect(download?.code == .noSuchKey)
            for action in [
                { _ = try await client.get(bucket: "no-such-bucket-here", key: "k") },
                { _ = try await client.put([1], bucket: "no-such-bucket-here", key: "k") },
                { _ = try await client.download(bucket: "no-such-bucket-here", key: "k", toFile: path) },
                { for try await _ in client.list(bucket: "no-such-bucket-here") {} },
            ] as [@Sendable () async throws -> Void] {
                let error = await #expect(throws: S3Error.self) { try await action() }
                #expect(error?.code == .noSuchBucket)
            }
            #expect((try? DirectoryTree.files(below: store.folder)) == [])
        }
    }

    @Test func createsABucketTwice() async throws {
        try await Store.with { store async throws in
            try await store.client.createBucket(store.bucket)
            #expect(try await store.client.bucketExists(store.bucket))
        }
    }

    @Test func saysThatNobodyListens() async throws {
        try await Store.with { store async throws in
            let client = try store.other {
                $0.endpoint = "http://127.0.0.1:9"
                $0.maximumAttempts = 2
                $0.baseDelay = .milliseconds(1)
            }
            let error = await #expect(throws: S3Error.self) { try await client.get(bucket: "bucket", key: "k") }
            #expect(error?.code == .unreachable)
            #expect(error?.isRetryable == true)
        }
    }

    @Test func namesLocalFilesThatCannotBeUsed() async throws {
        try await Store.with { store async throws in
            let missing = await #expect(throws: S3Error.self) {
                try await store.client.upload(file: "/no/such/file", bucket: store.bucket, key: "k")
            }
            #expect(missing?.code == .localFile)
            #expect(missing.map { $0.message.contains("/no/such/file") } ?? false)
            let folder = await #expect(throws: S3Error.self) {
                try await store.client.upload(file: store.folder, bucket: store.bucket, key: "k")
            }
            #expect(folder?.code == .localFile)
            _ = try await store.client.put([1], bucket: store.bucket, key: "k")
            let target = await #expect(throws: S3Error.self) {
                try await store.client.download(bucket: store.bucket, key: "k", toFile: "/no/such/folder/x")
            }
            #expect(target?.code == .localFile)
        }
    }
}
