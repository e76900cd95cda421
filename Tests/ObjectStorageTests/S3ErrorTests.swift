import Testing

@testable import ObjectStorage

@Suite struct S3ErrorTests {
    private func error(_ status: Int, _ code: String?) -> S3Error {
        let body =
            code.map { "<Error><Code>\($0)</Code><Message>words</Message><RequestId>r1</RequestId></Error>" } ?? ""
        return S3Error.from(
            status: status, body: Array(body.utf8), requestID: nil, bucket: "b", key: "k", keyID: "AKID")
    }

    @Test(arguments: [
        (403, "SignatureDoesNotMatch", S3Error.Code.signatureRefused, false),
        (403, "InvalidAccessKeyId", .signatureRefused, false), (403, "AccessDenied", .accessDenied, false),
        (403, "RequestTimeTooSkewed", .clockSkew, false), (404, "NoSuchBucket", .noSuchBucket, false),
        (404, "NoSuchKey", .noSuchKey, false), (412, "PreconditionFailed", .preconditionFailed, false),
        (503, "SlowDown", .slowDown, true), (500, "InternalError", .server, true),
        (501, "NotImplemented", .server, false),
        (400, "BadDigest", .digestMismatch, true), (400, "RequestTimeout", .refused, true),
        (400, "InvalidArgument", .refused, false), (301, "PermanentRedirect", .refused, false),
        (416, "InvalidRange", .invalidRange, false),
    ])
    func readsRefusals(_ status: Int, _ service: String, _ code: S3Error.Code, _ isRetryable: Bool) {
        let error = error(status, service)
        #expect(error.code == code)
        #expect(error.isRetryable == isRetryable)
        #expect(error.serviceCode == service)
        #expect(error.requestID == "r1")
        #expect("\(error)".contains("s3://b/k"))
    }

    @Test(arguments: [
        (404, S3Error.Code.noSuchKey), (403, .accessDenied), (429, .slowDown), (502, .server),
        (412, .preconditionFailed),
    ])
    func readsBareStatuses(_ status: Int, _ code: S3Error.Code) {
        #expect(error(status, nil).code == code)
        let page = S3Error.from(
            status: status, body: Array("<html><body>proxy".utf8), requestID: nil, bucket: nil, key: nil, keyID: "A")
        #expect(page.code == code)
    }

    @Test func describesNoSecret() {
        let credentials = S3Credentials(accessKeyID: "AKID", secretAccessKey: "hush", sessionToken: "quiet")
        var dumped = ""
        dump(credentials, to: &dumped)
        for text in ["\(credentials)", String(reflecting: credentials), dumped] {
            #expect(!text.contains("hush") && !text.contains("quiet"))
        }
    }
}
