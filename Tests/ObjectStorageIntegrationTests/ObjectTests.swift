import HTTPTransport
import Testing

@testable import ObjectStorage

@Suite(.timeLimit(.minutes(4))) struct ObjectTests {
    @Test func keepsMetadataAndContentType() async throws {
        try await Store.with { store async throws in
            let result = try await store.client.put(
                Array("hello".utf8), bucket: store.bucket, key: "k", contentType: "text/plain",
                metadata: ["Stage-Name": "train", "note": "a  b, c"])
            let info = try #require(try await store.client.head(bucket: store.bucket, key: "k"))
            #expect(info.etag == result.etag)
            #expect(info.contentType == "text/plain")
            #expect(info.metadata["stage-name"] == "train")
            #expect(info.metadata["note"] == "a  b, c")
            #expect(info.sha256 == Hex.sha256(Array("hello".utf8)))
            #expect(info.lastModified != nil)
        }
    }

    @Test func storesAnEmptyObject() async throws {
        try await Store.with { store async throws in
            _ = try await store.client.put([], bucket: store.bucket, key: "empty")
            #expect(try await store.client.get(bucket: store.bucket, key: "empty") == [])
            let stored = try await store.client.download(
                bucket: store.bucket, key: "empty", toFile: "\(store.folder)/empty")
            #expect(stored.sha256 == SigV4Signer.emptyPayload)
            #expect(try Store.read("\(store.folder)/empty") == [])
            let again = try await store.client.upload(
                file: "\(store.folder)/empty", bucket: store.bucket, key: "empty2")
            #expect(again.size == 0)
        }
    }

    @Test func readsRanges() async throws {
        try await Store.with { store async throws in
            let body = Store.bytes(100_000)
            _ = try await store.client.put(body, bucket: store.bucket, key: "k")
            func get(_ range: S3ByteRange) async throws -> [UInt8] {
                try await store.client.get(bucket: store.bucket, key: "k", range: range)
            }
            #expect(try await get(.bytes(offset: 10, count: 5)) == Array(body[10..<15]))
            #expect(try await get(.from(99_990)) == Array(body[99_990...]))
            #expect(try await get(.last(7)) == Array(body.suffix(7)))
            #expect(try await get(.bytes(offset: 99_999, count: 50)) == [body[99_999]])
            let error = await #expect(throws: S3Error.self) { try await get(.from(200_000)) }
            #expect(error?.code == .invalidRange)
            var streamed: [UInt8] = []
            for try await chunk in try await store.client.stream(
                bucket: store.bucket, key: "k", range: .bytes(offset: 5, count: 50_000))
            {
                streamed += chunk
            }
            #expect(streamed == Array(body[5..<50_005]))
        }
    }

    @Test func oneOfManyConditionalWritersWins() async throws {
        try await Store.with { store async throws in
            let winners = try await withThrowingTaskGroup(of: Int?.self) { group in
                for writer in 0..<32 {
                    group.addTask {
                        do {
                            _ = try await store.client.put(
                                Array("writer \(writer)".utf8), bucket: store.bucket, key: "race", ifNoneMatch: true)
                            return writer
                        } catch let error as S3Error where error.code == .preconditionFailed {
                            return nil
                        }
                    }
                }
                return try await group.reduce(into: [Int]()) { winners, winner in
                    if let winner { winners.append(winner) }
                }
            }
            #expect(winners.count == 1)
            let body = try await store.client.get(bucket: store.bucket, key: "race")
            #expect(String(decoding: body, as: UTF8.self) == "writer \(winners.first ?? -1)")
        }
    }

    @Test func limitsWhatIsReadIntoMemory() async throws {
        try await Store.with { store async throws in
            _ = try await store.client.put(Store.bytes(1000), bucket: store.bucket, key: "k")
            let error = await #expect(throws: S3Error.self) {
                try await store.client.get(bucket: store.bucket, key: "k", upTo: 999)
            }
            #expect(error?.code == .tooLarge)
        }
    }

    @Test func refusesMetadataThatAHeaderCannotCarry() async throws {
        try await Store.with { store async throws in
            for metadata in [
                ["bad name": "x"], ["n": "ü"], ["n": "a\r\nX-Evil: 1"], ["n": String(repeating: "x", count: 3000)],
            ] {
                let error = await #expect(throws: S3Error.self) {
                    try await store.client.put([1], bucket: store.bucket, key: "k", metadata: metadata)
                }
                #expect(error?.code == .invalidRequest)
            }
        }
    }

    @Test func presignsForPlainClients() async throws {
        try await Store.with { store async throws in
            let key = "pre signed/+ü%.bin"
            let body = Store.bytes(5000)
            let put = try store.client.presignedURL(
                method: "PUT", bucket: store.bucket, key: key, expires: .seconds(60))
            let stored = try await store.transport.send(HTTPRequest(method: "PUT", url: put, body: .bytes(body)))
            #expect(stored.status == 200)
            let get = try store.client.presignedURL(
                bucket: store.bucket, key: key, expires: .seconds(60),
                query: [("response-content-type", "text/x-test")])
            let response = try await store.transport.send(HTTPRequest(url: get))
            #expect(response.status == 200)
            #expect(response.headers["Content-Type"] == "text/x-test")
            #expect(try await response.body.collect(upTo: 10_000) == body)
            let forged = try await store.transport.send(
                HTTPRequest(url: String(get.dropLast()) + (get.hasSuffix("0") ? "1" : "0")))
            #expect(forged.status == 403)
            #expect(throws: S3Error.self) {
                try store.client.presignedURL(bucket: store.bucket, key: key, expires: .seconds(604_801))
            }
        }
    }

    @Test func copiesWithItsDigest() async throws {
        try await Store.with { store async throws in
            let body = Store.bytes(300_000)
            _ = try await store.client.put(body, bucket: store.bucket, key: "from", metadata: ["a": "b"])
            try await store.client.copy(bucket: store.bucket, key: "from", toKey: "to")
            let info = try #require(try await store.client.head(bucket: store.bucket, key: "to"))
            #expect(info.sha256 == Hex.sha256(body))
            #expect(info.metadata["a"] == "b")
            let error = await #expect(throws: S3Error.self) {
                try await store.client.copy(bucket: store.bucket, key: "missing", toKey: "to")
            }
            #expect(error?.code == .noSuchKey)
        }
    }
}
