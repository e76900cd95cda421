import Crypto
import HTTPTransport

/// Deleting.
extension S3Client {
    /// Keys that one batch request may hold.
    private static let largestBatch = 1000

    /// Deletes an object; one that is not there is fine.
    package func delete(bucket: String, key: String) async throws {
        do {
            _ = try await exchange(S3Request(method: "DELETE", bucket: bucket, key: key))
        } catch let error as S3Error where error.code == .noSuchKey {
            return
        }
    }

    /// Deletes any number of objects, 1,000 per request.
    /// - Throws: `S3Error` for the first object that the store refuses to delete, after all were tried.
    package func delete(bucket: String, keys: [String]) async throws {
        var refused: [S3Error] = []
        var batch: [String] = []
        for key in keys {
            try S3Names.check(key: key, bucket: bucket)
            if XMLText.canCarry(key) {
                batch.append(key)
                if batch.count == Self.largestBatch {
                    refused += try await deleteBatch(bucket: bucket, keys: batch)
                    batch.removeAll(keepingCapacity: true)
                }
            } else {
                try await delete(bucket: bucket, key: key)
            }
        }
        if !batch.isEmpty { refused += try await deleteBatch(bucket: bucket, keys: batch) }
        guard var first = refused.first else { return }
        if refused.count > 1 { first.message += " (and \(refused.count - 1) further objects)" }
        throw first
    }

    /// Deletes every object whose key begins with the prefix.
    /// - Returns: how many there were.
    @discardableResult
    package func deletePrefix(bucket: String, prefix: String) async throws -> Int {
        guard !prefix.isEmpty else {
            throw S3Error(
                code: .invalidRequest, message: "an empty prefix would delete the whole bucket; name one",
                bucket: bucket)
        }
        var count = 0
        for try await page in list(bucket: bucket, prefix: prefix) {
            let keys = page.objects.map(\.key)
            try await delete(bucket: bucket, keys: keys)
            count += keys.count
        }
        return count
    }

    private func deleteBatch(bucket: String, keys: [String]) async throws -> [S3Error] {
        var xml = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
        for key in keys { xml += "<Object><Key>\(try XMLText.escape(key))</Key></Object>" }
        let body = Array((xml + "</Delete>").utf8)
        // The one call for which older stores insist on the MD5.
        let request = S3Request(
            method: "POST", bucket: bucket, query: [("delete", "")],
            headers: [
                ("Content-Type", "application/xml"), ("Content-MD5", Base64.encode(Insecure.MD5.hash(data: body))),
            ], body: .bytes(body), payloadHash: Hex.sha256(body))
        let document = try await exchange(request).document("DeleteResult")
        return document.all("Error").map { entry in
            S3Error(
                code: entry.text("Code") == "AccessDenied" ? .accessDenied : .refused,
                message: "the store did not delete the object: \(entry.text("Message") ?? "no reason given")",
                bucket: bucket, key: entry.text("Key"), serviceCode: entry.text("Code"),
                isRetryable: ["InternalError", "SlowDown", "ServiceUnavailable"].contains(entry.text("Code")))
        }
    }
}
