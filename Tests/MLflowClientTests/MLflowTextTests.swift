import Testing

@testable import MLflowClient

@Suite struct MLflowTextTests {
    @Test func quotesFilters() throws {
        #expect(try MLflowFilter.text("plain") == "'plain'")
        #expect(try MLflowFilter.text("it's") == "\"it's\"")
        #expect(throws: MLflowError.self) { try MLflowFilter.text("it's \"both\"") }
        #expect(try MLflowFilter.tag("martlet.run id") == "tags.`martlet.run id`")
        #expect(throws: MLflowError.self) { try MLflowFilter.tag("a`b") }
    }

    @Test(arguments: [
        ("mlflow-artifacts:/1/abc/artifacts", "1/abc/artifacts"),
        ("mlflow-artifacts://host:5000/1/abc/artifacts/", "1/abc/artifacts"),
    ])
    func findsTheArtifactRoot(_ uri: String, _ path: String) throws {
        #expect(try ArtifactRoot(uri: uri, runID: "r", operation: "o").path == path)
    }

    @Test(arguments: ["s3://bucket/x", "/local/path", "mlflow-artifacts:/", ""])
    func refusesOtherArtifactRoots(_ uri: String) {
        #expect(throws: MLflowError.self) { try ArtifactRoot(uri: uri, runID: "r", operation: "o") }
    }

    @Test(arguments: ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a\\b", "a\nb"])
    func refusesArtifactPaths(_ path: String) {
        #expect(throws: MLflowError.self) { try ArtifactRoot.checked(path, operation: "o") }
    }

    @Test func encodesURLs() {
        #expect(URLText.encode("a b/ü+%") == "a%20b%2F%C3%BC%2B%25")
        #expect(URLText.encode("1/ü\n", keepingSlashes: true) == "1/%C3%BC%0A")
    }

    @Test func readsRefusals() {
        let taken = MLflowError.from(
            status: 400, body: Array(#"{"error_code":"RESOURCE_ALREADY_EXISTS","message":"taken"}"#.utf8),
            operation: "o")
        #expect(taken.code == .alreadyExists)
        #expect(!taken.isRetryable)
        let proxy = MLflowError.from(status: 502, body: Array("<html>bad\ngateway".utf8), operation: "o")
        #expect(proxy.isRetryable)
        #expect(proxy.message == "<html>bad gateway")
        #expect(MLflowError.from(status: 401, body: [], operation: "o").code == .unauthenticated)
    }

    /// An ingress without a backend must not look like a registry without a champion.
    @Test(arguments: [
        "default backend - 404", "<!doctype html><title>404 Not Found</title>", "", #"{"message":"no Route matched"}"#,
        #"{"error_code":"","message":"none"}"#, #"{"error_code":404}"#,
    ])
    func aStrangers404ProvesNothing(_ body: String) {
        let error = MLflowError.from(status: 404, body: Array(body.utf8), operation: "registered-models/alias")
        #expect(error.code == .badAnswer)
        #expect(error.isRetryable)
        #expect(error.message.contains("not MLflow's"))
    }

    @Test func mlflowsOwn404SaysThatThereIsNone() {
        let error = MLflowError.from(
            status: 404, body: Array(#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no model"}"#.utf8),
            operation: "o")
        #expect(error.code == .notFound)
        #expect(!error.isRetryable)
    }

    @Test func describesNoSecret() {
        for value in [MLflowAuthentication.basic(user: "u", password: "hush"), .bearer(token: "hush")] {
            var dumped = ""
            dump(value, to: &dumped)
            #expect(!"\(value)\(String(reflecting: value))\(dumped)".contains("hush"))
        }
    }
}
