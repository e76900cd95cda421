/// Listings.
extension S3Client {
    /// The objects whose keys begin with the prefix, page by page, in the store's order.
    ///
    /// - Parameter delimiter: keys are cut after its first occurrence behind the prefix and given once as a
    ///   common prefix, as folders are.
    package func list(
        bucket: String, prefix: String = "", delimiter: String? = nil, pageSize: Int = 1000
    ) -> S3Listing {
        S3Listing(client: self, bucket: bucket, prefix: prefix, delimiter: delimiter, pageSize: pageSize)
    }

    /// Uploads in parts that were begun under the prefix and are neither completed nor aborted; 1,000 at most.
    package func listMultipartUploads(bucket: String, prefix: String = "") async throws -> [S3MultipartUpload] {
        let answer = try await exchange(
            S3Request(
                method: "GET", bucket: bucket, query: [("uploads", ""), ("prefix", prefix), ("encoding-type", "url")]))
        let document = try answer.document("ListMultipartUploadsResult")
        let isEncoded = document.text("EncodingType") == "url"
        return try document.all("Upload").map { upload in
            guard let id = upload.text("UploadId") else {
                throw S3Error(code: .badAnswer, message: "an upload is listed without its id", bucket: bucket)
            }
            return S3MultipartUpload(
                key: try S3Listing.name(upload.text("Key") ?? "", isEncoded: isEncoded, bucket: bucket), uploadID: id,
                initiated: upload.text("Initiated"))
        }
    }

    /// Forgets an upload in parts and what it holds; one that is gone is fine.
    package func abortMultipartUpload(bucket: String, key: String, uploadID: String) async throws {
        do {
            _ = try await exchange(
                S3Request(method: "DELETE", bucket: bucket, key: key, query: [("uploadId", uploadID)]))
        } catch let error as S3Error where error.status == 404 {
            return
        }
    }
}
