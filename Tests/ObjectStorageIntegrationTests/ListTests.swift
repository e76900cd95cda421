import Testing

@testable import ObjectStorage

@Suite(.timeLimit(.minutes(4))) struct ListTests {
    @Test func listsAndDeletesMoreThanOnePage() async throws {
        try await Store.with { store async throws in
            let keys = (0..<1250).map { "many/\($0 / 100)/key \($0)+ü" }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, key) in keys.enumerated() {
                    if index >= 32 { try await group.next() }
                    group.addTask { _ = try await store.client.put([1], bucket: store.bucket, key: key) }
                }
                try await group.waitForAll()
            }
            _ = try await store.client.put([1], bucket: store.bucket, key: "other")
            var listed: [String] = []
            var pages = 0
            for try await page in store.client.list(bucket: store.bucket, prefix: "many/") {
                listed += page.objects.map(\.key)
                pages += 1
            }
            #expect(Set(listed) == Set(keys))
            #expect(listed.count == keys.count)
            #expect(pages >= 2)
            var small: [String] = []
            for try await page in store.client.list(bucket: store.bucket, prefix: "many/3/", pageSize: 7) {
                #expect(page.objects.count <= 7)
                small += page.objects.map(\.key)
            }
            #expect(small.count == 100)
            #expect(try await store.client.deletePrefix(bucket: store.bucket, prefix: "many/") == 1250)
            var rest: [String] = []
            for try await page in store.client.list(bucket: store.bucket) { rest += page.objects.map(\.key) }
            #expect(rest == ["other"])
        }
    }

    @Test func groupsByDelimiter() async throws {
        try await Store.with { store async throws in
            for key in ["a b/1", "a b/2", "c+/x/y", "top"] {
                _ = try await store.client.put([1], bucket: store.bucket, key: key)
            }
            var prefixes: [String] = []
            var objects: [String] = []
            for try await page in store.client.list(bucket: store.bucket, delimiter: "/") {
                prefixes += page.commonPrefixes
                objects += page.objects.map(\.key)
            }
            #expect(prefixes == ["a b/", "c+/"])
            #expect(objects == ["top"])
        }
    }

    @Test func deletingIsRepeatable() async throws {
        try await Store.with { store async throws in
            try await store.client.delete(bucket: store.bucket, key: "never there")
            try await store.client.delete(bucket: store.bucket, keys: ["never there", "a&<b>"])
            let error = await #expect(throws: S3Error.self) {
                try await store.client.deletePrefix(bucket: store.bucket, prefix: "")
            }
            #expect(error?.code == .invalidRequest)
        }
    }
}
