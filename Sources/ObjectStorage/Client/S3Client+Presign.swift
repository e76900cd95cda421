import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// URLs that carry their own permission.
extension S3Client {
    /// A URL with which anybody can do one thing to one object for a while. It is a secret: do not log it.
    ///
    /// - Parameters:
    ///   - method: `GET`, `PUT`, `HEAD` or `DELETE`.
    ///   - expires: 1 second to 7 days.
    ///   - query: further parameters to fix, such as `response-content-disposition`.
    package func presignedURL(
        method: String = "GET", bucket: String, key: String, expires: Duration,
        query: [(name: String, value: String)] = []
    ) throws -> String {
        guard ["GET", "PUT", "HEAD", "DELETE"].contains(method) else {
            throw S3Error(
                code: .invalidRequest, message: "\(method) cannot be presigned; use GET, PUT, HEAD or DELETE",
                bucket: bucket, key: key)
        }
        let seconds = expires.components.seconds
        guard (1...Int64(SigV4Signer.longestPresign)).contains(seconds) else {
            throw S3Error(
                code: .invalidRequest, message: "a presigned URL lives for 1 second to 7 days, not \(seconds) s",
                bucket: bucket, key: key)
        }
        let address = try endpoint.address(bucket: bucket, key: key)
        let now = SigningTime(secondsSince1970: Int64(time(nil)) + clockOffset.load(ordering: .relaxed))
        let signed = signer.presignedQuery(
            method: method, path: address.path, query: query, headers: [("host", address.host)],
            expires: Int(seconds), at: now)
        return address.url(query: signed)
    }
}
