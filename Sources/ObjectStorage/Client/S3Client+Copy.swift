import HTTPTransport

/// Copying inside the store.
extension S3Client {
    /// What one CopyObject takes; S3 user guide, "Copying objects".
    private static let largestCopy: Int64 = 5 << 30

    /// Copies an object with its metadata, the digest among them, without moving bytes through this machine.
    /// - Throws: `S3Error` with code `.objectChanged` when the source was replaced meanwhile, `.tooLarge` past 5 GiB.
    @discardableResult
    package func copy(
        bucket: String, key: String, toBucket: String? = nil, toKey: String
    ) async throws -> S3PutResult {
        let source = try await existing(bucket: bucket, key: key)
        guard source.size <= Self.largestCopy else {
            throw S3Error(
                code: .tooLarge,
                message:
                    "the object has \(source.size) bytes and the store copies 5 GiB at most; download and upload it",
                bucket: bucket, key: key)
        }
        return try await copy(source, toBucket: toBucket ?? bucket, toKey: toKey, replacing: nil)
    }

    /// - Parameter replacing: content type and metadata of the copy, where they are not to be the source's.
    func copy(
        _ source: S3ObjectInfo, toBucket: String, toKey: String,
        replacing: (contentType: String, metadata: [String: String])?
    ) async throws -> S3PutResult {
        let path =
            "/" + S3URI.encode(source.bucket, keepingSlashes: false) + "/"
            + S3URI.encode(source.key, keepingSlashes: true)
        var request = S3Request(method: "PUT", bucket: toBucket, key: toKey, headers: [("x-amz-copy-source", path)])
        if let etag = source.etag { request.headers.append(("x-amz-copy-source-if-match", etag)) }
        if let replacing {
            request.headers.append(("x-amz-metadata-directive", "REPLACE"))
            request.headers += try Self.headers(
                contentType: replacing.contentType, metadata: replacing.metadata, bucket: toBucket, key: toKey)
        }
        do {
            let answer = try await exchange(request)
            let document = try answer.document("CopyObjectResult")
            return S3PutResult(etag: document.text("ETag"), versionID: answer.headers["x-amz-version-id"])
        } catch let error as S3Error where error.code == .preconditionFailed {
            throw Self.changed(error)
        }
    }
}
