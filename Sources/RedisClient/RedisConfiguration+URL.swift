extension RedisConfiguration {
    /// Reads `redis://[[user]:password@]host[:port][/database]` or `unix:///path[?db=database]`; user, password
    /// and host may be percent-encoded.
    /// - Throws: `RedisError` with `invalidConfiguration`, without the password.
    package init(url: String) throws {
        guard let separator = url.firstRange(of: "://") else {
            throw Self.invalid("the URL has no scheme; give redis://user:password@host:6379/0")
        }
        let scheme = url[..<separator.lowerBound].lowercased()
        let rest = url[separator.upperBound...]
        switch scheme {
        case "redis": try self.init(authorityAndPath: rest)
        case "unix", "redis+unix": try self.init(socketPath: rest)
        case "rediss":
            throw Self.invalid(
                "rediss:// needs hiredis with TLS (1.0 or later), and this program is linked with hiredis 0.14, which has none; use redis:// over a private network, or a TLS tunnel (stunnel) on this machine"
            )
        default:
            throw Self.invalid("the URL's scheme is \"\(scheme)\"; redis://host:6379/0 or unix:///path is wanted")
        }
    }

    private init(socketPath text: Substring) throws {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = try Self.decoded(parts[0], "socket path")
        guard path.hasPrefix("/"), path.utf8.count < 108 else {
            throw Self.invalid("the socket path must be absolute and shorter than 108 bytes: \(path)")
        }
        address = .unix(path: path)
        if parts.count == 2 {
            let query = parts[1].split(separator: "=", omittingEmptySubsequences: false)
            guard query.count == 2, query[0] == "db" else { throw Self.invalid("the URL's query may hold db=N only") }
            database = try Self.database(query[1])
        }
    }

    private init(authorityAndPath text: Substring) throws {
        guard !text.contains("?"), !text.contains("#") else {
            throw Self.invalid("a redis:// URL takes no query and no fragment; percent-encode ? and # in a password")
        }
        let slash = text.lastIndex(of: "@").map { text[$0...] }?.firstIndex(of: "/") ?? text.firstIndex(of: "/")
        let authority = text[..<(slash ?? text.endIndex)]
        var hostAndPort = authority
        if let at = authority.lastIndex(of: "@") {
            hostAndPort = authority[authority.index(after: at)...]
            let credentials = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard credentials.count == 2 else {
                throw Self.invalid("the URL names a user without a password; write :password@ for a password alone")
            }
            if !credentials[0].isEmpty { user = try Self.decoded(credentials[0], "user") }
            if !credentials[1].isEmpty { password = try Self.decoded(credentials[1], "password") }
        }
        address = try Self.tcp(hostAndPort)
        if let slash {
            let path = text[text.index(after: slash)...]
            if !path.isEmpty { database = try Self.database(path) }
        }
    }

    private static func tcp(_ text: Substring) throws -> Address {
        var host = text
        var portText: Substring?
        if text.first == "[" {
            guard let close = text.firstIndex(of: "]") else { throw invalid("the IPv6 address lacks its ]") }
            host = text[text.index(after: text.startIndex)..<close]
            let tail = text[text.index(after: close)...]
            guard tail.isEmpty || tail.first == ":" else { throw invalid("only a port may follow the IPv6 address") }
            if !tail.isEmpty { portText = tail.dropFirst() }
        } else if let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            portText = text[text.index(after: colon)...]
        }
        guard !host.isEmpty else { throw invalid("the URL has no host") }
        guard let portText else { return .tcp(host: try decoded(host, "host"), port: 6379) }
        guard let port = UInt16(portText), port > 0 else {
            // Not quoted: in "redis://user:password" without its @ this is the password.
            throw invalid("what follows the host's colon is not a port from 1 to 65535")
        }
        return .tcp(host: try decoded(host, "host"), port: port)
    }

    private static func database(_ text: Substring) throws -> Int {
        guard let number = Int(text), number >= 0 else {
            throw invalid("what follows the last / (or db=) is not a database number")
        }
        return number
    }

    private static func decoded(_ text: Substring, _ what: String) throws -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == 0x25 else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16) else {
                throw invalid("the \(what) holds a % that is no percent-encoding; write %25 for %")
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw invalid("the \(what) is not UTF-8")
        }
        return decoded
    }

    private static func invalid(_ message: String) -> RedisError {
        RedisError(.invalidConfiguration, message)
    }
}
