/// Where requests go: the parsed endpoint, and URLs for bucket and key.
struct S3Endpoint: Sendable, Hashable {
    let scheme: String
    /// Host and, unless it is the scheme's own, port: the value of the `Host` header.
    let authority: String
    let addressing: S3Configuration.Addressing

    /// - Throws: `S3Error` with code `.invalidRequest` when the endpoint is not `http(s)://host[:port]`.
    init(_ endpoint: String, addressing: S3Configuration.Addressing) throws {
        func refuse(_ why: String) -> S3Error {
            S3Error(
                code: .invalidRequest,
                message: "the S3 endpoint \(why); write http://host:port or https://host, for example "
                    + "https://s3.eu-west-1.amazonaws.com")
        }
        guard let separator = endpoint.range(ofASCII: "://") else { throw refuse("'\(endpoint)' has no scheme") }
        scheme = endpoint[..<separator.lowerBound].lowercased()
        guard scheme == "http" || scheme == "https" else { throw refuse("'\(endpoint)' is not http or https") }
        var rest = endpoint[separator.upperBound...]
        while rest.hasSuffix("/") { rest.removeLast() }
        // User info may be a password: it is not repeated.
        guard !rest.contains("@") else { throw refuse("holds a user name; configure the access key instead") }
        guard !rest.isEmpty, rest.utf8.allSatisfy({ $0 > 32 && $0 < 127 }),
            !rest.contains(where: { "/?#".contains($0) })
        else { throw refuse("'\(endpoint)' has a path, a query or no host") }
        let standardPort = scheme == "http" ? ":80" : ":443"
        let host = rest.lowercased()
        authority = host.hasSuffix(standardPort) ? String(host.dropLast(standardPort.count)) : host
        self.addressing = addressing
    }

    /// One resource's address: the origin, and the encoded path as it is signed and sent.
    struct Address: Hashable {
        let scheme: String
        let host: String
        let path: String

        func url(query: String) -> String {
            query.isEmpty ? "\(scheme)://\(host)\(path)" : "\(scheme)://\(host)\(path)?\(query)"
        }
    }

    /// - Parameter key: nil for the bucket itself.
    /// - Throws: `S3Error` with code `.invalidRequest` for a name that S3 does not accept.
    func address(bucket: String?, key: String?) throws -> Address {
        guard let bucket else { return Address(scheme: scheme, host: authority, path: "/") }
        try S3Names.check(bucket: bucket)
        let object = try key.map { key in
            try S3Names.check(key: key, bucket: bucket)
            return "/" + S3URI.encode(key, keepingSlashes: true)
        }
        return switch addressing {
        case .path:
            Address(
                scheme: scheme, host: authority,
                path: "/" + S3URI.encode(bucket, keepingSlashes: false) + (object ?? ""))
        case .virtualHost:
            Address(scheme: scheme, host: "\(bucket).\(authority)", path: object ?? "/")
        }
    }
}

extension String {
    /// The first occurrence, compared by byte; saves Foundation.
    func range(ofASCII needle: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(needle) { return start..<index(start, offsetBy: needle.count) }
            start = index(after: start)
        }
        return nil
    }
}
