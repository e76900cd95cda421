package import HTTPTransport
package import Logging

/// MLflow's REST API 2.0: tracking, artifacts behind the server, and the model registry.
///
/// Calls that may be repeated without harm are tried again on 5xx, 429 and broken connections; calls that create
/// something only when the request surely never arrived.
package final class MLflowClient: Sendable {
    package let configuration: MLflowConfiguration
    package let logger: Logger
    let transport: HTTPTransport
    /// Without a slash at the end.
    let base: String

    /// - Throws: `MLflowError` with code `.invalidRequest` for an address that is not http or https.
    package init(configuration: MLflowConfiguration, transport: HTTPTransport, logger: Logger) throws {
        var base = configuration.baseURL
        while base.hasSuffix("/") { base.removeLast() }
        guard base.hasPrefix("http://") || base.hasPrefix("https://") else {
            throw MLflowError(
                code: .invalidRequest, message: "the MLflow address must begin with http:// or https://",
                operation: "configure")
        }
        guard !base.contains("@") else {
            throw MLflowError(
                code: .invalidRequest,
                message: "the MLflow address holds a user name; configure user and password apart from it",
                operation: "configure")
        }
        self.configuration = configuration
        self.transport = transport
        self.logger = logger
        self.base = base
    }

    package convenience init(
        baseURL: String, authentication: MLflowAuthentication = .none, transport: HTTPTransport, logger: Logger
    ) throws {
        try self.init(
            configuration: MLflowConfiguration(baseURL: baseURL, authentication: authentication), transport: transport,
            logger: logger)
    }

    /// Whether the server answers at all.
    /// - Throws: `MLflowError` that says why not.
    package func checkHealth() async throws {
        _ = try await send(MLflowCall("health", method: "GET", url: "\(base)/health"))
    }
}
