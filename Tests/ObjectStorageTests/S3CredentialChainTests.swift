import Glibc
import Testing

@testable import ObjectStorage

@Suite struct S3CredentialChainTests {
    private func withFile<Result>(_ text: String, _ body: (String) throws -> Result) throws -> Result {
        var template = Array("/tmp/martlet-credentials-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(path) }
        _ = text.withCString { write(descriptor, $0, strlen($0)) }
        close(descriptor)
        return try body(path)
    }

    @Test func prefersExplicitCredentials() throws {
        let explicit = S3Credentials(accessKeyID: "a", secretAccessKey: "b")
        let environment = ["AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"]
        #expect(try S3CredentialChain.resolve(explicit: explicit, environment: environment) == explicit)
    }

    @Test func readsTheEnvironment() throws {
        let found = try S3CredentialChain.resolve(environment: [
            "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_SESSION_TOKEN": "z",
        ])
        #expect(found == S3Credentials(accessKeyID: "x", secretAccessKey: "y", sessionToken: "z"))
    }

    @Test func readsFiles() throws {
        try withFile("s3cret\n") { path in
            let found = try S3CredentialChain.resolve(environment: [
                "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY_FILE": path,
            ])
            #expect(found.secretAccessKey == "s3cret")
        }
    }

    @Test func refusesWhatIsIncomplete() throws {
        let cases: [([String: String], String)] = [
            ([:], "AWS_ACCESS_KEY_ID"), (["AWS_ACCESS_KEY_ID": "x"], "AWS_SECRET_ACCESS_KEY is not"),
            (["AWS_SECRET_ACCESS_KEY": "y"], "AWS_ACCESS_KEY_ID is not"),
            (["AWS_ACCESS_KEY_ID": "x", "AWS_ACCESS_KEY_ID_FILE": "/f", "AWS_SECRET_ACCESS_KEY": "y"], "keep one"),
            (["AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY_FILE": "/no/such"], "/no/such"),
        ]
        for (environment, words) in cases {
            let error = #expect(throws: S3Error.self) { try S3CredentialChain.resolve(environment: environment) }
            #expect(error?.code == .credentials)
            #expect(error.map { $0.message.contains(words) } ?? false)
        }
        try withFile("\n") { path in
            _ = #expect(throws: S3Error.self) {
                try S3CredentialChain.resolve(environment: [
                    "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY_FILE": path,
                ])
            }
        }
    }
}
