import HTTPTransport

/// One call, before it is signed.
struct S3Request: Sendable {
    var method: String
    var bucket: String?
    var key: String?
    /// Decoded; a parameter without a value has an empty one.
    var query: [(name: String, value: String)] = []
    /// All of them are signed.
    var headers: [(name: String, value: String)] = []
    var body: HTTPRequestBody = .none
    /// SHA-256 of the body in hexadecimal.
    var payloadHash = SigV4Signer.emptyPayload
}
