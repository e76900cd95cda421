import Crypto

/// AWS Signature Version 4, as S3 wants it: the path is encoded once and never normalised.
///
/// Pure: the clock, the nonce-free inputs and the credentials are parameters. Specification: AWS
/// IAM user guide, "Create a signed AWS API request"; S3 API reference, "Authenticating Requests".
package struct SigV4Signer: Sendable {
    package static let algorithm = "AWS4-HMAC-SHA256"
    /// The payload hash of a request whose body is not covered by the signature (presigned URLs).
    package static let unsignedPayload = "UNSIGNED-PAYLOAD"
    /// SHA-256 of nothing.
    package static let emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    /// Presigned URLs live for a week at most; S3 refuses more.
    package static let longestPresign = 604_800

    package let credentials: S3Credentials
    package let region: String
    package let service: String

    package init(credentials: S3Credentials, region: String, service: String = "s3") {
        self.credentials = credentials
        self.region = region
        self.service = service
    }

    /// The `Authorization` header's value.
    ///
    /// - Parameters:
    ///   - path: the encoded path exactly as the request line carries it.
    ///   - query: decoded names and values in any order.
    ///   - headers: every header to sign; `host` and `x-amz-date` among them.
    ///   - payloadHash: SHA-256 of the body in lower-case hexadecimal, or `unsignedPayload`.
    package func authorization(
        method: String, path: String, query: [(name: String, value: String)],
        headers: [(name: String, value: String)], payloadHash: String, at time: SigningTime
    ) -> String {
        let canonical = CanonicalRequest(
            method: method, path: path, query: query, headers: headers, payloadHash: payloadHash)
        return "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scope(time)), "
            + "SignedHeaders=\(canonical.signedHeaders), Signature=\(signature(of: canonical, at: time))"
    }

    /// The query of a presigned URL, signature included, in canonical order.
    ///
    /// - Parameters:
    ///   - query: further parameters to cover (`versionId`, `response-content-type`, …).
    ///   - headers: the headers that whoever uses the URL must send; `host` among them.
    ///   - expires: seconds, 1 to 604,800.
    package func presignedQuery(
        method: String, path: String, query: [(name: String, value: String)] = [],
        headers: [(name: String, value: String)], expires: Int, at time: SigningTime
    ) -> String {
        var parameters = query
        parameters.append(("X-Amz-Algorithm", Self.algorithm))
        parameters.append(("X-Amz-Credential", "\(credentials.accessKeyID)/\(scope(time))"))
        parameters.append(("X-Amz-Date", time.timestamp))
        parameters.append(("X-Amz-Expires", String(expires)))
        if let token = credentials.sessionToken { parameters.append(("X-Amz-Security-Token", token)) }
        parameters.append(("X-Amz-SignedHeaders", CanonicalRequest.signedHeaders(of: headers)))
        let canonical = CanonicalRequest(
            method: method, path: path, query: parameters, headers: headers, payloadHash: Self.unsignedPayload)
        return S3URI.canonicalQuery(parameters) + "&X-Amz-Signature=" + signature(of: canonical, at: time)
    }

    private func scope(_ time: SigningTime) -> String {
        "\(time.date)/\(region)/\(service)/aws4_request"
    }

    private func signature(of request: CanonicalRequest, at time: SigningTime) -> String {
        let toSign = [Self.algorithm, time.timestamp, scope(time), Hex.sha256(Array(request.text.utf8))]
            .joined(separator: "\n")
        return Hex.encode(Self.authenticate(toSign, key: signingKey(for: time)))
    }

    private func signingKey(for time: SigningTime) -> SymmetricKey {
        var key = SymmetricKey(data: Array("AWS4\(credentials.secretAccessKey)".utf8))
        for part in [time.date, region, service, "aws4_request"] {
            key = SymmetricKey(data: Self.authenticate(part, key: key))
        }
        return key
    }

    private static func authenticate(_ message: String, key: SymmetricKey) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: Array(message.utf8), using: key)
    }
}
