import Testing

@testable import ObjectStorage

@Suite struct S3EndpointTests {
    @Test func addressesByPath() throws {
        let endpoint = try S3Endpoint("http://127.0.0.1:8333/", addressing: .path)
        let address = try endpoint.address(bucket: "data", key: "/a b/../c+d%/")
        #expect(address.url(query: "") == "http://127.0.0.1:8333/data//a%20b/../c%2Bd%25/")
        #expect(address.host == "127.0.0.1:8333")
    }

    @Test func addressesByHost() throws {
        let endpoint = try S3Endpoint("https://S3.eu-west-1.amazonaws.com:443", addressing: .virtualHost)
        let address = try endpoint.address(bucket: "data", key: "k")
        #expect(address.url(query: "a=b") == "https://data.s3.eu-west-1.amazonaws.com/k?a=b")
        #expect(try endpoint.address(bucket: "data", key: nil).path == "/")
    }

    @Test(arguments: [
        "127.0.0.1:8333", "ftp://host", "http://", "http://host/path", "http://host?x", "http://user:hush@host",
        "http://a b",
    ])
    func refusesOtherAddresses(_ text: String) {
        let error = #expect(throws: S3Error.self) { try S3Endpoint(text, addressing: .path) }
        #expect(error?.code == .invalidRequest)
        #expect(error.map { !"\($0)".contains("hush") } ?? false)
    }

    @Test(arguments: ["ab", "Upper", "a_b", "a..b", "-ab", "ab-", "a/b", "", String(repeating: "a", count: 64)])
    func refusesBucketNames(_ name: String) throws {
        let endpoint = try S3Endpoint("http://h", addressing: .path)
        #expect(throws: S3Error.self) { try endpoint.address(bucket: name, key: "k") }
    }

    @Test func refusesKeys() throws {
        let endpoint = try S3Endpoint("http://h", addressing: .path)
        for key in ["", String(repeating: "ü", count: 513), "a\0b"] {
            #expect(throws: S3Error.self) { try endpoint.address(bucket: "data", key: key) }
        }
        #expect(throws: Never.self) { try endpoint.address(bucket: "data", key: String(repeating: "ü", count: 512)) }
    }
}
