import Crypto
import HTTPTransport
import Logging

/// One upload in parts, from its creation to its completion or abort.
struct MultipartUpload: Sendable {
    let client: S3Client
    let bucket: String
    let key: String
    let uploadID: String
    /// Names the object as this upload's work, whatever became of the answer to `complete`.
    let writer: String

    struct FinishedPart: Sendable {
        let number: Int
        let etag: String
        /// Base64.
        let checksum: String
    }

    static func create(
        client: S3Client, bucket: String, key: String, contentType: String, metadata: [String: String]
    ) async throws -> MultipartUpload {
        let writer = Hex.encode((0..<16).map { _ in UInt8.random(in: 0...255) })
        var metadata = metadata
        metadata[S3Client.writerMetadata] = writer
        var request = S3Request(method: "POST", bucket: bucket, key: key, query: [("uploads", "")])
        request.headers = try S3Client.headers(
            contentType: contentType, metadata: metadata, bucket: bucket, key: key)
        request.headers.append(("x-amz-checksum-algorithm", "SHA256"))
        let document = try await client.exchange(request).document("InitiateMultipartUploadResult")
        guard let id = document.text("UploadId"), !id.isEmpty else {
            throw S3Error(
                code: .badAnswer, message: "the store began an upload but named no id", bucket: bucket, key: key)
        }
        return MultipartUpload(client: client, bucket: bucket, key: key, uploadID: id, writer: writer)
    }

    func send(_ body: HTTPRequestBody, number: Int, digest: SHA256Digest) async throws -> FinishedPart {
        let checksum = Base64.encode(digest)
        let request = S3Request(
            method: "PUT", bucket: bucket, key: key,
            query: [("partNumber", String(number)), ("uploadId", uploadID)],
            headers: [("x-amz-checksum-sha256", checksum)], body: body, payloadHash: Hex.encode(digest))
        return try await client.retrying(bucket: bucket, key: key, persistence: .patience) {
            let response = try await client.send(request)
            _ = try await response.body.collect(upTo: 64 << 10)
            guard let etag = response.headers["ETag"] else {
                throw S3Error(code: .badAnswer, message: "the store took part \(number) but named no ETag")
            }
            return FinishedPart(number: number, etag: etag, checksum: checksum)
        }
    }

    /// Makes the object of its parts.
    /// - Parameter ifNoneMatch: as in `S3Client.put`.
    func complete(_ parts: [FinishedPart], ifNoneMatch: Bool) async throws -> S3PutResult {
        var xml = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        for part in parts.sorted(by: { $0.number < $1.number }) {
            xml +=
                "<Part><ChecksumSHA256>\(part.checksum)</ChecksumSHA256><ETag>\(try XMLText.escape(part.etag))</ETag>"
                + "<PartNumber>\(part.number)</PartNumber></Part>"
        }
        let body = Array((xml + "</CompleteMultipartUpload>").utf8)
        var request = S3Request(
            method: "POST", bucket: bucket, key: key, query: [("uploadId", uploadID)],
            headers: [("Content-Type", "application/xml")], body: .bytes(body), payloadHash: Hex.sha256(body))
        if ifNoneMatch { request.headers.append(("If-None-Match", "*")) }
        do {
            let answer = try await client.exchange(request)
            let document = try answer.document("CompleteMultipartUploadResult")
            return S3PutResult(etag: document.text("ETag"), versionID: answer.headers["x-amz-version-id"])
        } catch let error as S3Error where error.status == 404 || error.code == .preconditionFailed {
            // A repeated completion finds no upload, or its own object in the way: then the first one worked.
            guard let info = try await client.head(bucket: bucket, key: key),
                info.metadata[S3Client.writerMetadata] == writer
            else { throw error }
            return S3PutResult(etag: info.etag, versionID: info.versionID)
        }
    }

    /// Removes what was stored, also when the caller's task is cancelled, and says in the log if it could not.
    func abort() async {
        // A cancelled task cannot send: the clean-up runs in one of its own, bounded by the client's attempts.
        await Task {
            do {
                // A part that was cut off in mid-flight may land after the first abort (S3 API reference,
                // AbortMultipartUpload): the upload is gone for good when the store no longer knows it.
                for _ in 0..<3 {
                    try await client.abortMultipartUpload(bucket: bucket, key: key, uploadID: uploadID)
                    guard try await isKnown() else { return }
                }
                throw S3Error(code: .refused, message: "the upload is still listed after three aborts")
            } catch {
                client.logger.warning(
                    "an upload in parts was left behind; a lifecycle rule (AbortIncompleteMultipartUpload) removes it",
                    metadata: ["bucket": "\(bucket)", "key": "\(key)", "upload": "\(uploadID)", "error": "\(error)"])
            }
        }.value
    }

    private func isKnown() async throws -> Bool {
        do {
            _ = try await client.exchange(
                S3Request(
                    method: "GET", bucket: bucket, key: key, query: [("uploadId", uploadID), ("max-parts", "1")]))
            return true
        } catch let error as S3Error where error.status == 404 {
            return false
        }
    }
}
