/// Why a call on the object store failed, and what to do about it. Never holds a secret or a signed URL.
package struct S3Error: Error, Sendable {
    /// An open set: callers switch over the ones they know.
    package struct Code: RawRepresentable, Hashable, Sendable {
        package let rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        /// No credentials, or incomplete ones: nothing was sent.
        package static let credentials = Code(rawValue: "credentials")
        /// The store does not know the key id, or the secret does not fit it.
        package static let signatureRefused = Code(rawValue: "signature_refused")
        package static let accessDenied = Code(rawValue: "access_denied")
        /// This machine's clock and the store's disagree by more than the store accepts.
        package static let clockSkew = Code(rawValue: "clock_skew")
        package static let noSuchBucket = Code(rawValue: "no_such_bucket")
        package static let noSuchKey = Code(rawValue: "no_such_key")
        package static let bucketTaken = Code(rawValue: "bucket_taken")
        /// A conditional request lost: the object is there already, or has changed.
        package static let preconditionFailed = Code(rawValue: "precondition_failed")
        package static let invalidRange = Code(rawValue: "invalid_range")
        /// Bytes differ from their digest, in transit or at rest.
        package static let digestMismatch = Code(rawValue: "digest_mismatch")
        /// The object is another size than expected, or was replaced while it was read.
        package static let objectChanged = Code(rawValue: "object_changed")
        /// More bytes than the caller allowed.
        package static let tooLarge = Code(rawValue: "too_large")
        /// A bucket, key, size or URL that cannot be sent: nothing was sent.
        package static let invalidRequest = Code(rawValue: "invalid_request")
        /// A manifest that names files outside its directory, or is not one.
        package static let invalidManifest = Code(rawValue: "invalid_manifest")
        /// The store is overloaded and asks for patience (429, 503 SlowDown).
        package static let slowDown = Code(rawValue: "slow_down")
        /// The store failed (other 5xx).
        package static let server = Code(rawValue: "server")
        /// The store could not be reached, or the connection broke.
        package static let unreachable = Code(rawValue: "unreachable")
        /// An answer that is not S3's.
        package static let badAnswer = Code(rawValue: "bad_answer")
        /// A local file could not be opened, read or written.
        package static let localFile = Code(rawValue: "local_file")
        /// The caller's own stream threw; `cause` is what it threw.
        package static let source = Code(rawValue: "source")
        /// Any other refusal; `serviceCode` says which.
        package static let refused = Code(rawValue: "refused")
    }

    package var code: Code
    /// What happened and what to do next.
    package var message: String
    package var bucket: String?
    package var key: String?
    /// HTTP status, when the store answered.
    package var status: Int?
    /// `<Code>` of the store's answer.
    package var serviceCode: String?
    /// `x-amz-request-id`, which the store's operators ask for.
    package var requestID: String?
    package var cause: (any Error)?
    /// The same call may succeed later with nothing changed on our side.
    package var isRetryable: Bool
    /// How long the store asked us to wait (`Retry-After`).
    package var retryAfter: Duration?

    package init(
        code: Code, message: String, bucket: String? = nil, key: String? = nil, status: Int? = nil,
        serviceCode: String? = nil, requestID: String? = nil, cause: (any Error)? = nil, isRetryable: Bool = false
    ) {
        self.code = code
        self.message = message
        self.bucket = bucket
        self.key = key
        self.status = status
        self.serviceCode = serviceCode
        self.requestID = requestID
        self.cause = cause
        self.isRetryable = isRetryable
    }

    /// Fills in where it happened, unless that is known already.
    func located(bucket: String?, key: String?) -> S3Error {
        var located = self
        located.bucket = located.bucket ?? bucket
        located.key = located.key ?? key
        return located
    }
}

extension S3Error: CustomStringConvertible {
    package var description: String {
        var place = ""
        if let bucket { place = key.map { " (s3://\(bucket)/\($0))" } ?? " (bucket \(bucket))" }
        var details: [String] = []
        if let status { details.append("HTTP \(status)") }
        if let serviceCode { details.append(serviceCode) }
        if let requestID { details.append("request \(requestID)") }
        let suffix = details.isEmpty ? "" : " [\(details.joined(separator: ", "))]"
        return "\(code.rawValue): \(message)\(place)\(suffix)"
    }
}
