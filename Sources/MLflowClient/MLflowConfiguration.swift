/// Where the server is and how patient we are.
package struct MLflowConfiguration: Sendable {
    /// `http://127.0.0.1:5000`, with a path where the server lives under one.
    package var baseURL: String
    package var authentication: MLflowAuthentication
    /// Sends of one call in all, the first included, where repeating does no harm.
    package var maximumAttempts: Int
    /// Upper bound of the first pause; it doubles with each further one.
    package var baseDelay: Duration
    package var maximumDelay: Duration
    package var connectTimeout: Duration
    /// From the end of the request to the first byte of the answer.
    package var firstByteTimeout: Duration

    package init(
        baseURL: String, authentication: MLflowAuthentication = .none, maximumAttempts: Int = 5,
        baseDelay: Duration = .milliseconds(200), maximumDelay: Duration = .seconds(5),
        connectTimeout: Duration = .seconds(10), firstByteTimeout: Duration = .seconds(60)
    ) {
        self.baseURL = baseURL
        self.authentication = authentication
        self.maximumAttempts = maximumAttempts
        self.baseDelay = baseDelay
        self.maximumDelay = maximumDelay
        self.connectTimeout = connectTimeout
        self.firstByteTimeout = firstByteTimeout
    }
}
