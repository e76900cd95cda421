import Crypto
import Foundation
import Glibc
import HTTPTransport
import Logging
import TestServers

@testable import ObjectStorage

/// One test's client, bucket and folder, removed on both paths.
struct Store: Sendable {
    let client: S3Client
    let transport: HTTPTransport
    let bucket: String
    let folder: String

    static func with<Result: Sendable>(
        partSize: Int64 = 5 << 20, _ body: @Sendable (Store) async throws -> Result
    ) async throws -> Result {
        let server = try await TestServers.shared.s3()
        return try await with(
            configuration: S3Configuration(
                endpoint: server.endpoint, region: server.region,
                credentials: S3Credentials(accessKeyID: server.accessKey, secretAccessKey: server.secretKey),
                partSize: partSize), body)
    }

    static func with<Result: Sendable>(
        configuration: S3Configuration, _ body: @Sendable (Store) async throws -> Result
    ) async throws -> Result {
        let transport = HTTPTransport(logger: Logger(label: "test"))
        let client = try S3Client(configuration: configuration, transport: transport, logger: Logger(label: "test"))
        let name = "t-" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
        let store = Store(client: client, transport: transport, bucket: name, folder: "/tmp/martlet-\(name)")
        try await client.createBucket(name)
        guard mkdir(store.folder, 0o700) == 0 else {
            throw FileError(path: store.folder, operation: "make", errno: errno)
        }
        do {
            let result = try await body(store)
            await store.cleanUp()
            return result
        } catch {
            await store.cleanUp()
            throw error
        }
    }

    private func cleanUp() async {
        // Best effort on the way out: a server that a test has killed does not answer.
        do {
            for try await page in client.list(bucket: bucket) {
                try await client.delete(bucket: bucket, keys: page.objects.map(\.key))
            }
            try await client.deleteBucket(bucket)
        } catch {}
        try? FileManager.default.removeItem(atPath: folder)
        await transport.close()
    }

    /// Another client on the same store.
    func other(_ change: (inout S3Configuration) -> Void) throws -> S3Client {
        var configuration = client.configuration
        change(&configuration)
        return try S3Client(configuration: configuration, transport: transport, logger: Logger(label: "test"))
    }

    /// A file of pseudo-random bytes that no two seeds share.
    func makeFile(_ name: String, size: Int, seed: UInt64 = 1) throws -> (path: String, sha256: String) {
        let path = "\(folder)/\(name)"
        let bytes = Self.bytes(size, seed: seed)
        try Self.write(bytes, to: path)
        return (path, Hex.sha256(bytes))
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileError(path: path, operation: "create", errno: errno) }
        defer { close(descriptor) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: written), bytes.count - written)
            }
            guard count > 0 else { throw FileError(path: path, operation: "write", errno: errno) }
            written += count
        }
    }

    static func read(_ path: String) throws -> [UInt8] {
        let file = try InputFile(path: path)
        return try file.read(offset: 0, count: Int(file.size))
    }

    static func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
            for index in 0..<count {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                buffer[index] = UInt8(truncatingIfNeeded: state)
            }
            initialized = count
        }
    }
}
