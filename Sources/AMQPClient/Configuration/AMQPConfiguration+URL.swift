extension AMQPConfiguration {
    /// Reads `amqp://user:password@host:port/vhost?query`, percent-decoded
    /// (https://www.rabbitmq.com/docs/uri-spec); `amqps` turns TLS on. An absent or empty vhost is `/`.
    /// - Parameter url: the query may hold `heartbeat` (seconds), `connection_timeout` (milliseconds),
    ///   `cacertfile`, `certfile`, `keyfile`, `verify` (`verify_peer` or `verify_none`).
    /// - Throws: `AMQPError` with code `invalidConfiguration`; its text never repeats the password.
    package init(url: String) throws {
        let (secure, rest) = try Self.scheme(of: url)
        let (beforeQuery, query) = rest.split(onFirst: "?")
        let (authority, path) = beforeQuery.split(onFirst: "/")
        var tls = secure ? TLS() : nil
        var username = "guest"
        var password = "guest"
        var hostAndPort = authority
        // The last `@`, so that an `@` that someone forgot to encode stays in the password.
        if let at = authority.lastIndex(of: "@") {
            let (user, secret) = authority[..<at].split(onFirst: ":")
            username = try Self.decode(user, "user name")
            password = try secret.map { try Self.decode($0, "password") } ?? ""
            hostAndPort = authority[authority.index(after: at)...]
        }
        let (host, port) = try Self.hostAndPort(hostAndPort, secure: secure)
        let virtualHost = try path.map { try Self.decode($0, "virtual host") } ?? ""
        var heartbeat: UInt16?
        var connectTimeout: Duration?
        for pair in query?.split(separator: "&") ?? [] {
            let (key, rawValue) = pair.split(onFirst: "=")
            let value = try Self.decode(rawValue ?? "", "query value of '\(key)'")
            switch key {
            case "heartbeat":
                heartbeat = try Self.number(value, "heartbeat", "whole seconds from 0 to 65535")
            case "connection_timeout":
                let number: UInt32 = try Self.number(value, "connection_timeout", "whole milliseconds")
                guard number > 0 else { throw Self.invalid("connection_timeout is 0; give milliseconds, such as 5000") }
                connectTimeout = .milliseconds(Int64(number))
            case "cacertfile", "certfile", "keyfile", "verify":
                guard tls != nil else {
                    throw Self.invalid("'\(key)' in the query needs TLS: write amqps:// in place of amqp://")
                }
                try Self.apply(key: String(key), value: value, to: &tls)
            default:
                throw Self.invalid(
                    "unknown query parameter '\(key)'; known are heartbeat, connection_timeout, cacertfile, "
                        + "certfile, keyfile, verify")
            }
        }
        self.init(
            host: host, port: port, username: username, password: password,
            virtualHost: virtualHost.isEmpty ? "/" : virtualHost, tls: tls)
        if let heartbeat { self.heartbeatSeconds = heartbeat }
        if let connectTimeout { self.connectTimeout = connectTimeout }
    }

    private static func scheme(of url: String) throws -> (secure: Bool, rest: Substring) {
        guard let range = url.firstRange(of: "://") else {
            throw invalid("no '://' found; expected amqp://user:password@host:5672/vhost")
        }
        switch url[..<range.lowerBound].lowercased() {
        case "amqp": return (false, url[range.upperBound...])
        case "amqps": return (true, url[range.upperBound...])
        default: throw invalid("scheme is not amqp or amqps; expected amqp://user:password@host:5672/vhost")
        }
    }

    private static func hostAndPort(_ text: Substring, secure: Bool) throws -> (String, UInt16) {
        let hostText: Substring
        let portText: Substring?
        if text.first == "[" {
            guard let close = text.firstIndex(of: "]") else {
                throw invalid("'[' of an IPv6 host has no ']'; expected amqp://[::1]:5672")
            }
            hostText = text[text.index(after: text.startIndex)..<close]
            let after = text[text.index(after: close)...]
            guard after.isEmpty || after.first == ":" else {
                throw invalid("unexpected text after ']' of the IPv6 host; expected :port")
            }
            portText = after.isEmpty ? nil : after.dropFirst()
        } else {
            (hostText, portText) = text.split(onFirst: ":")
        }
        let host = try decode(hostText, "host")
        var port: UInt16 = secure ? 5671 : 5672
        if let portText, !portText.isEmpty {
            port = try number(String(portText), "port", "a number from 1 to 65535")
            guard port > 0 else { throw invalid("port is 0; expected a number from 1 to 65535") }
        }
        return (host.isEmpty ? "localhost" : host, port)
    }

    private static func apply(key: String, value: String, to tls: inout TLS?) throws {
        switch key {
        case "cacertfile": tls?.caCertificateFile = value
        case "certfile": tls?.clientCertificateFile = value
        case "keyfile": tls?.clientKeyFile = value
        default:
            guard value == "verify_peer" || value == "verify_none" else {
                throw invalid("verify=\(value); expected verify_peer or verify_none")
            }
            tls?.verifyPeer = value == "verify_peer"
            tls?.verifyHostname = value == "verify_peer"
        }
    }

    private static func number<Number: FixedWidthInteger>(
        _ text: String, _ name: String, _ expected: String
    ) throws -> Number {
        guard let number = Number(text) else { throw invalid("\(name) is '\(text)'; expected \(expected)") }
        return number
    }

    private static func decode(_ text: Substring, _ part: String) throws -> String {
        guard let decoded = PercentEncoding.decode(text) else {
            throw invalid("the \(part) has a bad percent escape; write '%' itself as %25")
        }
        guard !decoded.utf8.contains(0) else { throw invalid("the \(part) contains a NUL") }
        return decoded
    }

    private static func decode(_ text: String, _ part: String) throws -> String {
        try decode(text[...], part)
    }

    private static func invalid(_ message: String) -> AMQPError {
        AMQPError(.invalidConfiguration, "broker URL: \(message)")
    }
}

extension Substring {
    /// The text before the first `separator`, and the text after it if there is one.
    fileprivate func split(onFirst separator: Character) -> (Substring, Substring?) {
        guard let index = firstIndex(of: separator) else { return (self, nil) }
        return (self[..<index], self[self.index(after: index)...])
    }
}
