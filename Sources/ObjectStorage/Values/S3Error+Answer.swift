/// Reads refusals: what the store's answer means, in our words.
extension S3Error {
    /// - Parameters:
    ///   - body: the first bytes of the answer; `<Error>` or anything.
    ///   - writes: the request would have changed something.
    static func from(
        status: Int, body: [UInt8], requestID: String?, bucket: String?, key: String?, keyID: String
    ) -> S3Error {
        let document = (try? XMLParser.parse(body)).flatMap { $0.name == "Error" ? $0 : $0["Error"] }
        let serviceCode = document?.text("Code").flatMap { $0.isEmpty ? nil : $0 }
        let words = document?.text("Message").map { String($0.prefix(500)) }
        let (code, message) = meaning(
            status: status, serviceCode: serviceCode, words: words, bucket: bucket, keyID: keyID)
        return S3Error(
            code: code, message: message, bucket: bucket, key: key, status: status, serviceCode: serviceCode,
            requestID: requestID ?? document?.text("RequestId"), isRetryable: isRetryable(code, serviceCode, status))
    }

    private static func isRetryable(_ code: Code, _ serviceCode: String?, _ status: Int) -> Bool {
        switch code {
        case .slowDown, .unreachable: true
        case .server: status != 501
        // The body was damaged on its way or the store was too slow: the next try sends it afresh.
        case .digestMismatch: true
        case .refused:
            ["RequestTimeout", "OperationAborted", "IncompleteBody", "ConditionalRequestConflict"].contains(serviceCode)
        default: false
        }
    }

    private static func meaning(
        status: Int, serviceCode: String?, words: String?, bucket: String?, keyID: String
    ) -> (Code, String) {
        let said = words.map { ": \($0)" } ?? ""
        switch serviceCode {
        case "InvalidAccessKeyId":
            return (.signatureRefused, "the store does not know the access key \(keyID); check which store it is for")
        case "SignatureDoesNotMatch":
            return (
                .signatureRefused,
                "the secret does not fit the access key \(keyID) (or a proxy changed the request); check the secret"
            )
        case "ExpiredToken", "TokenRefreshRequired", "InvalidToken":
            return (.signatureRefused, "the session token has expired or is not valid; get new credentials\(said)")
        case "AuthorizationHeaderMalformed":
            return (.signatureRefused, "the store refused the signature; check the region\(said)")
        case "RequestTimeTooSkewed":
            return (.clockSkew, "this machine's clock is off by more than the store accepts; set it (NTP)")
        case "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidObjectState":
            return (.accessDenied, "the access key \(keyID) may not do this; grant it, or use another key\(said)")
        case "NoSuchBucket":
            return (.noSuchBucket, "the bucket does not exist; create it or correct its name")
        case "NoSuchKey":
            return (.noSuchKey, "there is no such object")
        case "BucketAlreadyExists":
            return (.bucketTaken, "the bucket belongs to somebody else; choose another name")
        case "PreconditionFailed":
            return (.preconditionFailed, "the condition does not hold: the object is there already or has changed")
        case "InvalidRange":
            return (.invalidRange, "the object is shorter than the range asked for")
        case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
            return (.digestMismatch, "the store received other bytes than were announced\(said)")
        case "EntityTooLarge":
            return (.tooLarge, "the store does not take bodies of this size\(said)")
        case "SlowDown", "SlowDownRead", "SlowDownWrite", "TooManyRequests", "RequestLimitExceeded":
            return (.slowDown, "the store is overloaded and asks for patience")
        case "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException":
            return (.refused, "the bucket is in another region or at another endpoint; configure that one\(said)")
        default: break
        }
        switch status {
        case 301, 302, 307, 308:
            return (.refused, "the store redirects: configure the endpoint and region that hold the bucket\(said)")
        case 401, 403:
            return (.accessDenied, "the access key \(keyID) may not do this, or its secret is wrong\(said)")
        case 404: return (.noSuchKey, "there is no such object or bucket\(said)")
        case 412:
            return (.preconditionFailed, "the condition does not hold: the object is there already or has changed")
        case 416: return (.invalidRange, "the object is shorter than the range asked for")
        case 429: return (.slowDown, "the store is overloaded and asks for patience")
        case 503: return (.slowDown, "the store is not available now\(said)")
        case 500...599: return (.server, "the store failed\(said)")
        default: return (.refused, "the store refused the request\(said)")
        }
    }
}
