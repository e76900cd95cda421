import Testing

@testable import ObjectStorage

/// Every key that S3 allows comes back as it went in.
@Suite(.timeLimit(.minutes(4))) struct KeyTests {
    static let keys = [
        "plain.txt", "with space", "a+b", "100%", "%2F", "%zz", "a&b=c;d?e#f", "ünï/cödé", "日本語/キー", "\u{1F426}.bin",
        "e\u{301}-decomposed", "\u{E9}-composed", "'quotes'\"double\"", "<xml>&amp;", "~tilde-_.",
        "$@!*():,",
        "a/b/c/d/e/f", "trailing.", "tab\tkey", String(repeating: "k", count: 255),
        // 1,024 bytes, the most that S3 takes, in parts that a store made of files can hold.
        [255, 255, 255, 200, 55].map { String(repeating: "p", count: $0) }.joined(separator: "/"),
    ]

    @Test(arguments: keys)
    func roundTrips(_ key: String) async throws {
        try await Store.with { store async throws in
            let body = Array("content of \(key)".utf8)
            _ = try await store.client.put(body, bucket: store.bucket, key: key)
            #expect(try await store.client.get(bucket: store.bucket, key: key) == body)
            #expect(try await store.client.head(bucket: store.bucket, key: key)?.size == Int64(body.count))
            var listed: [String] = []
            for try await page in store.client.list(bucket: store.bucket) { listed += page.objects.map(\.key) }
            // By byte: == on strings takes composed and decomposed spellings for one.
            #expect(listed.map { Array($0.utf8) } == [Array(key.utf8)])
            try await store.client.copy(bucket: store.bucket, key: key, toKey: "copies/\(key.prefix(100))")
            #expect(try await store.client.get(bucket: store.bucket, key: "copies/\(key.prefix(100))") == body)
            try await store.client.delete(bucket: store.bucket, keys: [key])
            #expect(try await store.client.head(bucket: store.bucket, key: key) == nil)
        }
    }

    /// SeaweedFS keeps objects as files and folds these into other names or refuses them; whichever it does, the
    /// signature fits and nothing is returned under a wrong name.
    @Test(arguments: ["a//b", "/leading", "a/../b", "../x", "./y", "a/./b", "back\\slash"])
    func signsPathsThatServersFold(_ key: String) async throws {
        try await Store.with { store async throws in
            let body = Array(key.utf8)
            do {
                _ = try await store.client.put(body, bucket: store.bucket, key: key)
                #expect(try await store.client.get(bucket: store.bucket, key: key) == body)
            } catch let error as S3Error {
                #expect(error.code != .signatureRefused)
                #expect(!error.isRetryable)
            }
        }
    }
}
