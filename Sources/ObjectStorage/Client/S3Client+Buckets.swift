import HTTPTransport

/// Buckets.
extension S3Client {
    /// Creates the bucket; one that exists and is ours is fine.
    /// - Throws: `S3Error` with code `.bucketTaken` when it is somebody else's.
    package func createBucket(_ bucket: String) async throws {
        var request = S3Request(method: "PUT", bucket: bucket)
        // AWS's first region is the one that must not be named.
        if configuration.region != "us-east-1", endpoint.authority.hasSuffix(".amazonaws.com") {
            let body = Array(
                ("<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>"
                    + (try XMLText.escape(configuration.region))
                    + "</LocationConstraint></CreateBucketConfiguration>").utf8)
            request.body = .bytes(body)
            request.payloadHash = Hex.sha256(body)
            request.headers.append(("Content-Type", "application/xml"))
        }
        do {
            _ = try await exchange(request)
        } catch let error as S3Error where error.serviceCode == "BucketAlreadyOwnedByYou" {
            return
        } catch let error as S3Error where error.code == .bucketTaken || error.status == 409 {
            // Several stores say "already exists" of one's own bucket too; whether it answers us settles it.
            guard let isThere = try? await bucketExists(bucket), isThere else { throw error }
        }
    }

    /// Whether the bucket exists.
    /// - Throws: `S3Error` with code `.accessDenied` when it exists but is not ours to see.
    package func bucketExists(_ bucket: String) async throws -> Bool {
        do {
            _ = try await exchange(S3Request(method: "HEAD", bucket: bucket))
            return true
        } catch let error as S3Error where error.status == 404 {
            return false
        } catch let error as S3Error where (400..<500).contains(error.status ?? 0) {
            // As in `head`: only an answer with a body says why.
            _ = try await exchange(
                S3Request(method: "GET", bucket: bucket, query: [("list-type", "2"), ("max-keys", "1")]))
            throw error
        }
    }

    /// Deletes an empty bucket; a missing one is fine.
    package func deleteBucket(_ bucket: String) async throws {
        do {
            _ = try await exchange(S3Request(method: "DELETE", bucket: bucket))
        } catch let error as S3Error where error.status == 404 {
            return
        }
    }
}
