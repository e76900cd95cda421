import Testing

@testable import ObjectStorage

/// The examples of the S3 API reference, "Authenticating Requests (AWS Signature Version 4)".
@Suite struct SigV4S3ExampleTests {
    private let signer = SigV4Signer(
        credentials: S3Credentials(
            accessKeyID: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        region: "us-east-1")
    /// 24 May 2013, 00:00:00 UTC.
    private let time = SigningTime(secondsSince1970: 1_369_353_600)
    private let host = (name: "Host", value: "examplebucket.s3.amazonaws.com")

    private func signature(
        _ method: String = "GET", path: String = "/", query: [(name: String, value: String)] = [],
        headers: [(name: String, value: String)] = [], body: String = ""
    ) -> Substring? {
        let hash = Hex.sha256(Array(body.utf8))
        let authorization = signer.authorization(
            method: method, path: S3URI.encode(path, keepingSlashes: true), query: query,
            headers: [host, ("x-amz-date", time.timestamp), ("x-amz-content-sha256", hash)] + headers,
            payloadHash: hash, at: time)
        return authorization.split(separator: "=").last
    }

    @Test func getObject() {
        #expect(
            signature(path: "/test.txt", headers: [("Range", "bytes=0-9")])
                == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
    }

    @Test func putObject() {
        #expect(
            signature(
                "PUT", path: "/test$file.text",
                headers: [("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
                body: "Welcome to Amazon S3.") == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
    }

    @Test func getLifecycle() {
        #expect(
            signature(query: [("lifecycle", "")])
                == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
    }

    @Test func listObjects() {
        #expect(
            signature(query: [("prefix", "J"), ("max-keys", "2")])
                == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
    }

    @Test func presign() {
        let query = signer.presignedQuery(
            method: "GET", path: "/test.txt", headers: [host], expires: 86400, at: time)
        #expect(
            query
                == "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1"
                + "%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                + "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
    }

    @Test func neverNormalisesThePath() {
        for key in ["../a", "a//b", "./a/../b", "/a"] {
            let canonical = CanonicalRequest(
                method: "GET", path: "/" + S3URI.encode(key, keepingSlashes: true), query: [], headers: [host],
                payloadHash: "")
            #expect(canonical.text.hasPrefix("GET\n/\(key)\n"))
        }
    }

    @Test func coversTheSessionTokenOfPresignedURLs() {
        var credentials = signer.credentials
        credentials.sessionToken = "a/b+c"
        let query = SigV4Signer(credentials: credentials, region: "us-east-1").presignedQuery(
            method: "GET", path: "/k", headers: [host], expires: 60, at: time)
        #expect(query.contains("&X-Amz-Security-Token=a%2Fb%2Bc&X-Amz-SignedHeaders=host&X-Amz-Signature="))
    }
}
