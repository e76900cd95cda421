import HTTPTransport

/// One call before it is sent.
struct MLflowCall: Sendable {
    /// Whether a second arrival does harm.
    enum Repetition: Sendable {
        case harmless
        /// Creates something: repeated only when the first request surely did not arrive.
        case onlyIfUnsent
    }

    /// For errors and logs.
    var operation: String
    var method: String
    var url: String
    var headers: [HTTPHeader]
    var body: HTTPRequestBody
    var repetition: Repetition

    init(
        _ operation: String, method: String, url: String, headers: [HTTPHeader] = [], body: HTTPRequestBody = .none,
        repetition: Repetition = .harmless
    ) {
        self.operation = operation
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.repetition = repetition
    }
}
