extension SMTPServer {
    /// The server as libcurl wants it; the path is the name for EHLO.
    func url() throws -> CurlURL {
        let names = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]".utf8)
        guard !host.isEmpty, host.utf8.allSatisfy(names.contains) else {
            throw Self.invalid("the mail server's host '\(host.debugDescription)' is not a host name or address")
        }
        guard (1...65535).contains(port) else {
            throw Self.invalid("the mail server's port \(port) is not in 1...65535")
        }
        guard !clientName.isEmpty, clientName.utf8.allSatisfy(names.contains) else {
            throw Self.invalid("the name for EHLO, \(clientName.debugDescription), is not a host name")
        }
        let bare = host.trimmingBrackets()
        let authority = bare.contains(":") ? "[\(bare)]" : bare
        return try CurlURL("\(security == .tls ? "smtps" : "smtp")://\(authority):\(port)/\(clientName)")
    }

    /// A password is not put on the wire where anyone on the path can read it, unless that was asked for.
    func checkLogin() throws {
        guard username != nil || password != nil else { return }
        guard username != nil, password != nil else {
            throw Self.invalid("a login for \(host) needs both a user name and a password")
        }
        let isProtected = security == .tls || security == .requiredStartTLS
        guard isProtected || allowsPlaintextLogin else {
            throw Self.invalid(
                "the login for \(host) would go over an unprotected connection; use TLS or required STARTTLS, "
                    + "or allow a plaintext login")
        }
    }

    private static func invalid(_ message: String) -> HTTPError {
        HTTPError(code: .invalidRequest, message: message)
    }
}
