import HTTPTransport
import Logging
import Testing

@testable import ObjectStorage

/// Failures that pass, and failures that look like success.
@Suite(.timeLimit(.minutes(4))) struct RetryTests {
    private typealias Reply = ScriptedServer.Reply

    private func with<Result: Sendable>(
        _ script: @escaping @Sendable (Int, ScriptedServer.Request) -> ScriptedServer.Reply,
        _ body: @Sendable (S3Client, ScriptedServer) async throws -> Result
    ) async throws -> Result {
        let server = try ScriptedServer(script)
        defer { server.stop() }
        let transport = HTTPTransport(logger: Logger(label: "test"))
        let client = try S3Client(
            configuration: S3Configuration(
                endpoint: "http://127.0.0.1:\(server.port)",
                credentials: S3Credentials(accessKeyID: "AKID", secretAccessKey: "secret", sessionToken: "token"),
                baseDelay: .milliseconds(1), maximumDelay: .milliseconds(5)), transport: transport,
            logger: Logger(label: "test"))
        do {
            let result = try await body(client, server)
            await transport.close()
            return result
        } catch {
            await transport.close()
            throw error
        }
    }

    private static func error(_ code: String) -> String { "<Error><Code>\(code)</Code></Error>" }

    @Test func repeatsWhatPasses() async throws {
        try await with { number, _ in
            switch number {
            case 0: .answer(503, body: Self.error("SlowDown"))
            case 1: .hangUp
            case 2: .answer(500, body: Self.error("InternalError"))
            default: .answer(200, headers: ["ETag": "\"e\""])
            }
        } _: { client, server async throws in
            #expect(try await client.put([1, 2], bucket: "bucket", key: "k").etag == "\"e\"")
            #expect(server.requests.count == 4)
            for request in server.requests {
                #expect(request.body == [1, 2])
                #expect(request.headers["x-amz-security-token"] == "token")
                #expect(request.headers["x-amz-checksum-sha256"] == "oShx/uIQ+4YZKR6uoZRYHL0lMeSyN1nSJfaAaSP2MiI=")
                #expect(request.headers["authorization"]?.contains("x-amz-security-token") == true)
            }
        }
    }

    @Test func givesUpInTheEnd() async throws {
        try await with { _, _ in
            .answer(503, body: Self.error("SlowDown"))
        } _: { client, server async throws in
            let error = await #expect(throws: S3Error.self) { try await client.get(bucket: "bucket", key: "k") }
            #expect(error?.code == .slowDown)
            #expect(server.requests.count == client.configuration.maximumAttempts)
        }
    }

    @Test func doesNotRepeatARefusal() async throws {
        try await with { _, _ in
            .answer(403, body: Self.error("AccessDenied"))
        } _: { client, server async throws in
            let error = await #expect(throws: S3Error.self) { try await client.get(bucket: "bucket", key: "k") }
            #expect(error?.code == .accessDenied)
            #expect(server.requests.count == 1)
        }
    }

    @Test func goesOnWhereAConnectionBroke() async throws {
        let whole = "0123456789"
        try await with { number, _ in
            let headers = ["ETag": "\"e\"", "x-amz-meta-martlet-sha256": Hex.sha256(Array(whole.utf8))]
            guard number > 0 else { return .cutOff(promised: 10, headers: headers, body: "0123") }
            return .answer(206, headers: headers.merging(["Content-Range": "bytes 4-9/10"]) { $1 }, body: "456789")
        } _: { client, server async throws in
            var read: [UInt8] = []
            for try await chunk in try await client.stream(bucket: "bucket", key: "k") { read += chunk }
            #expect(String(decoding: read, as: UTF8.self) == whole)
            let second = try #require(server.requests.last)
            #expect(second.headers["range"] == "bytes=4-9" && second.headers["if-match"] == "\"e\"")
        }
    }

    @Test func knowsItsOwnObjectAfterALostAnswer() async throws {
        try await with { number, request in
            switch (number, request.line.hasPrefix("HEAD")) {
            case (0, _): .hangUp
            case (_, true):
                // The object is the one that the first, unanswered request stored.
                .answer(200, headers: ["Content-Length": "1", "x-amz-meta-martlet-writer": "unknown", "ETag": "\"e\""])
            default: .answer(412, body: Self.error("PreconditionFailed"))
            }
        } _: { client, server async throws in
            // Somebody else's token: the loss is real.
            let error = await #expect(throws: S3Error.self) {
                try await client.put([1], bucket: "bucket", key: "k", ifNoneMatch: true)
            }
            #expect(error?.code == .preconditionFailed)
            let sent = server.requests.filter { $0.line.hasPrefix("PUT") }
            // Both attempts carry the same token, by which the first would be known.
            #expect(sent.count == 2)
            #expect(Set(sent.compactMap { $0.headers["x-amz-meta-martlet-writer"] }).count == 1)
        }
    }

    @Test func takesACompletionThatFailsUnder200ForAFailure() async throws {
        try await with { _, request in
            if request.line.contains("?uploads=") {
                return .answer(
                    200, body: "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
            }
            if request.line.hasPrefix("PUT") { return .answer(200, headers: ["ETag": "\"p\""]) }
            if request.line.hasPrefix("DELETE") { return .answer(204) }
            if request.line.hasPrefix("POST") {
                return .answer(200, body: "<?xml version=\"1.0\"?>\n\n" + Self.error("InternalError"))
            }
            return .answer(404, body: Self.error("NoSuchUpload"))
        } _: { client, server async throws in
            var configuration = client.configuration
            configuration.partSize = 5 << 20
            let small = try S3Client(
                configuration: configuration, transport: client.transport, logger: client.logger)
            let chunk = [UInt8](repeating: 7, count: 6 << 20)
            let error = await #expect(throws: S3Error.self) {
                try await small.upload(
                    stream: AsyncStream<[UInt8]> { continuation in
                        continuation.yield(chunk)
                        continuation.finish()
                    }, bucket: "bucket", key: "k")
            }
            #expect(error?.code == .server)
            #expect(error?.serviceCode == "InternalError")
            #expect(server.requests.contains { $0.line.hasPrefix("DELETE /bucket/k?uploadId=u ") })
        }
    }

    @Test func signsWithTheStoresClockWhenOursIsOff() async throws {
        try await with { number, _ in
            guard number > 0 else {
                return .answer(
                    403, headers: ["Date": "Sun, 06 Nov 1994 08:00:00 GMT"], body: Self.error("RequestTimeTooSkewed"))
            }
            return .answer(200)
        } _: { client, server async throws in
            _ = try await client.put([1], bucket: "bucket", key: "k")
            #expect(server.requests.count == 2)
            #expect(server.requests.last?.headers["x-amz-date"]?.hasPrefix("19941106T08") == true)
        }
    }

    @Test func saysThatItIsNotAStore() async throws {
        try await with { _, _ in
            .answer(200, body: "<html><body>hello</body></html>")
        } _: { client, _ async throws in
            let error = await #expect(throws: S3Error.self) {
                for try await _ in client.list(bucket: "bucket") {}
            }
            #expect(error?.code == .badAnswer)
        }
    }
}
