/// Which proxy a URL goes through.
package struct HTTPProxy: Sendable, Hashable {
    /// Proxy for `http` URLs, such as `http://proxy.internal:3128`.
    package var http: String?

    /// Proxy for `https` URLs, through `CONNECT`.
    package var https: String?

    /// Hosts reached directly: names with their subdomains, addresses, CIDR blocks, or `*` for all.
    package var exceptions: [String]

    package init(http: String? = nil, https: String? = nil, exceptions: [String] = []) {
        self.http = http
        self.https = https
        self.exceptions = exceptions
    }

    package static let direct = HTTPProxy()

    /// The usual variables. `HTTP_PROXY` in capitals is not read: a CGI server sets it from a request's header.
    package init(environment: [String: String]) {
        func first(_ names: String...) -> String? {
            names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        self.init(
            http: first("http_proxy", "all_proxy", "ALL_PROXY"),
            https: first("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
            exceptions: (first("no_proxy", "NO_PROXY") ?? "").split { $0 == "," || $0 == " " }.map(String.init))
    }

    /// The proxy for a URL's scheme and host, or `nil` for a direct connection.
    func proxy(scheme: String, host: String) -> String? {
        guard let proxy = scheme == "https" ? https : http, !isException(host) else { return nil }
        return proxy
    }

    private func isException(_ host: String) -> Bool {
        let host = host.lowercased().trimmingBrackets()
        let address = IPAddress(host)
        return exceptions.contains { entry in
            let entry = entry.lowercased()
            if entry == "*" { return true }
            if let address { return AddressBlock(entry.trimmingBrackets())?.contains(address) ?? false }
            let suffix = entry.drop { $0 == "." }
            return host == suffix || host.hasSuffix("." + suffix)
        }
    }
}

extension String {
    /// An IPv6 literal as an address: URLs put it in brackets.
    func trimmingBrackets() -> String {
        hasPrefix("[") && hasSuffix("]") ? String(dropFirst().dropLast()) : self
    }
}
