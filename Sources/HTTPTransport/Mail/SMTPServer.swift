/// A mail server to submit to.
package struct SMTPServer: Sendable {
    /// How the connection is protected.
    package enum Security: String, Sendable, Hashable {
        /// Plain text: only for a server on this machine or a trusted network.
        case none
        /// STARTTLS where the server offers it; an attacker on the path can prevent that.
        case opportunisticStartTLS
        /// STARTTLS or no mail.
        case requiredStartTLS
        /// TLS from the first byte (`smtps`, port 465).
        case tls
    }

    package var host: String
    package var port: Int
    package var security: Security
    package var username: String?
    package var password: String?

    /// Credentials go over an unprotected connection only if this says so.
    package var allowsPlaintextLogin: Bool

    /// What we call ourselves in EHLO.
    package var clientName: String

    package var timeouts: HTTPTimeouts
    package var addressPolicy: HTTPAddressPolicy

    package init(
        host: String, port: Int? = nil, security: Security = .requiredStartTLS, username: String? = nil,
        password: String? = nil, allowsPlaintextLogin: Bool = false, clientName: String = "localhost",
        timeouts: HTTPTimeouts = HTTPTimeouts(total: .seconds(120)), addressPolicy: HTTPAddressPolicy = .any
    ) {
        self.host = host
        self.port = port ?? (security == .tls ? 465 : 587)
        self.security = security
        self.username = username
        self.password = password
        self.allowsPlaintextLogin = allowsPlaintextLogin
        self.clientName = clientName
        self.timeouts = timeouts
        self.addressPolicy = addressPolicy
    }
}
