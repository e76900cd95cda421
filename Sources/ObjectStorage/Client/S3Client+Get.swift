import Crypto
import HTTPTransport

/// Looking at objects and reading small ones.
extension S3Client {
    /// What the store knows of the object; nil when there is none (or no such bucket).
    package func head(bucket: String, key: String) async throws -> S3ObjectInfo? {
        do {
            let answer = try await exchange(S3Request(method: "HEAD", bucket: bucket, key: key))
            return try info(answer.headers, bucket: bucket, key: key)
        } catch let error as S3Error where error.status == 404 {
            return nil
        } catch let error as S3Error where (400..<500).contains(error.status ?? 0) {
            // An answer to HEAD has no body, so the reason is missing: ask in a way that gets one.
            _ = try await exchange(
                S3Request(method: "GET", bucket: bucket, key: key, headers: [("Range", "bytes=0-0")]))
            throw error
        }
    }

    /// As `head`, for callers that need the object.
    /// - Throws: `S3Error` with code `.noSuchKey` or `.noSuchBucket`.
    func existing(bucket: String, key: String) async throws -> S3ObjectInfo {
        if let info = try await head(bucket: bucket, key: key) { return info }
        guard try await bucketExists(bucket) else {
            throw S3Error(
                code: .noSuchBucket, message: "the bucket does not exist; create it or correct its name",
                bucket: bucket,
                key: key, status: 404)
        }
        throw S3Error(code: .noSuchKey, message: "there is no such object", bucket: bucket, key: key, status: 404)
    }

    /// Reads an object, or a stretch of one, into memory.
    ///
    /// A whole object is checked against `expecting` and against the digest in its metadata.
    /// - Parameter limit: bytes; a larger answer is an error.
    package func get(
        bucket: String, key: String, range: S3ByteRange? = nil, expecting: ExpectedContent? = nil,
        upTo limit: Int = 64 << 20
    ) async throws -> [UInt8] {
        try range?.validate()
        let (info, body) = try await retrying(bucket: bucket, key: key) {
            let (response, info) = try await self.open(bucket: bucket, key: key, range: range)
            if range == nil, info.size > Int64(limit) {
                throw S3Error(
                    code: .tooLarge, message: "the object has \(info.size) bytes, more than the \(limit) allowed here")
            }
            return (info, try await response.body.collect(upTo: limit))
        }
        guard range == nil else { return body }
        try ContentCheck(info: info, expecting: expecting).verify(size: Int64(body.count), sha256: Hex.sha256(body))
        return body
    }

    /// One GET up to its head, which names the size of the whole object.
    /// - Parameter etag: the object must still be the one with this tag.
    func open(
        bucket: String, key: String, range: S3ByteRange?, etag: String? = nil
    ) async throws -> (response: HTTPResponse, info: S3ObjectInfo) {
        var request = S3Request(method: "GET", bucket: bucket, key: key)
        if let range { request.headers.append(("Range", range.header)) }
        if let etag { request.headers.append(("If-Match", etag)) }
        do {
            let response = try await send(request)
            return (response, try info(response.headers, bucket: bucket, key: key))
        } catch let error as S3Error where error.code == .preconditionFailed {
            throw Self.changed(error)
        }
    }

    static func changed(_ error: S3Error) -> S3Error {
        S3Error(
            code: .objectChanged, message: "the object was replaced while it was read; read it again",
            bucket: error.bucket, key: error.key, status: error.status, requestID: error.requestID)
    }

    func info(_ headers: HTTPHeaders, bucket: String, key: String) throws -> S3ObjectInfo {
        // `bytes 0-9/1234` for a range, whose Content-Length is that of the range.
        let whole = headers["Content-Range"].flatMap { $0.split(separator: "/").last }.flatMap { Int64($0) }
        guard let size = whole ?? headers["Content-Length"].flatMap({ Int64($0) }), size >= 0 else {
            throw S3Error(
                code: .badAnswer, message: "the answer names no size; is the endpoint an S3 store?", bucket: bucket,
                key: key)
        }
        var metadata: [String: String] = [:]
        for header in headers {
            let name = header.name.lowercased()
            guard name.hasPrefix("x-amz-meta-") else { continue }
            metadata[String(name.dropFirst("x-amz-meta-".count))] = header.value
        }
        return S3ObjectInfo(
            bucket: bucket, key: key, size: size, etag: headers["ETag"], versionID: headers["x-amz-version-id"],
            contentType: headers["Content-Type"], lastModified: headers["Last-Modified"], metadata: metadata)
    }
}
