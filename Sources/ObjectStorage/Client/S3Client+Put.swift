import Crypto
import HTTPTransport

/// Writing small objects, and what all writes have in common.
extension S3Client {
    /// The metadata that tells one writer's object from another's, with the same content or not.
    static let writerMetadata = "martlet-writer"

    /// Stores bytes under a key.
    ///
    /// - Parameters:
    ///   - metadata: user metadata; names are tokens, values printable ASCII, 2 KB in all.
    ///   - ifNoneMatch: only if there is no such object; else `S3Error` with code `.preconditionFailed`. Of any
    ///     number of writers one wins.
    package func put(
        _ bytes: [UInt8], bucket: String, key: String, contentType: String = "application/octet-stream",
        metadata: [String: String] = [:], ifNoneMatch: Bool = false
    ) async throws -> S3PutResult {
        let digest = SHA256.hash(data: bytes)
        return try await put(
            .bytes(bytes), digest: digest, bucket: bucket, key: key, contentType: contentType, metadata: metadata,
            ifNoneMatch: ifNoneMatch)
    }

    /// One PUT of a body whose digest is known.
    func put(
        _ body: HTTPRequestBody, digest: SHA256Digest, bucket: String, key: String, contentType: String,
        metadata: [String: String], ifNoneMatch: Bool, persistence: Persistence = .attempts
    ) async throws -> S3PutResult {
        let hexadecimal = Hex.encode(digest)
        let writer = Hex.encode((0..<16).map { _ in UInt8.random(in: 0...255) })
        var request = S3Request(method: "PUT", bucket: bucket, key: key, body: body, payloadHash: hexadecimal)
        var metadata = metadata
        metadata[S3ObjectInfo.digestMetadata] = hexadecimal
        if ifNoneMatch {
            metadata[Self.writerMetadata] = writer
            request.headers.append(("If-None-Match", "*"))
        }
        request.headers += try Self.headers(contentType: contentType, metadata: metadata, bucket: bucket, key: key)
        request.headers.append(("x-amz-checksum-sha256", Base64.encode(digest)))
        let signedRequest = request
        var isRepeated = false
        return try await retrying(bucket: bucket, key: key, persistence: persistence) {
            defer { isRepeated = true }
            do {
                let response = try await self.send(signedRequest)
                _ = try await response.body.collect(upTo: 64 << 10)
                return S3PutResult(etag: response.headers["ETag"], versionID: response.headers["x-amz-version-id"])
            } catch let error as S3Error where error.code == .preconditionFailed && ifNoneMatch && isRepeated {
                // The first send may have arrived and only its answer been lost: then the object is ours.
                guard let info = try await self.head(bucket: bucket, key: key),
                    info.metadata[Self.writerMetadata] == writer
                else { throw error }
                return S3PutResult(etag: info.etag, versionID: info.versionID)
            }
        }
    }

    /// The headers that describe an object.
    /// - Throws: `S3Error` with code `.invalidRequest` for what a header cannot carry.
    static func headers(
        contentType: String, metadata: [String: String], bucket: String, key: String
    ) throws -> [(name: String, value: String)] {
        func refuse(_ message: String) -> S3Error {
            S3Error(code: .invalidRequest, message: message, bucket: bucket, key: key)
        }
        func isPrintable(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 32 && $0 < 127 } }
        guard isPrintable(contentType), !contentType.isEmpty else {
            throw refuse("the content type '\(contentType)' is empty or not printable ASCII")
        }
        var headers: [(name: String, value: String)] = [("Content-Type", contentType)]
        var total = 0
        for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
            guard !name.isEmpty, name.utf8.allSatisfy(isToken) else {
                throw refuse("the metadata name '\(name)' must be letters, digits, '-', '_' or '.'")
            }
            guard isPrintable(value) else {
                throw refuse("the metadata value of '\(name)' must be printable ASCII; encode it")
            }
            total += name.utf8.count + value.utf8.count
            headers.append(("x-amz-meta-\(name.lowercased())", value))
        }
        guard total <= 2048 else { throw refuse("the metadata has \(total) bytes; S3 takes 2,048") }
        return headers
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
