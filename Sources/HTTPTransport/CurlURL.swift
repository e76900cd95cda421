import CCurl

/// A URL as libcurl itself reads it, so that what is checked here is what is connected to.
struct CurlURL: Sendable {
    let scheme: String
    /// As libcurl normalises it: `0x7f.1` is `127.0.0.1`; IPv6 keeps its brackets.
    let host: String
    let port: Int
    let path: String
    let userInfo: String?
    let query: String?
    let hasExplicitPort: Bool
    let whole: String

    private static let flags = UInt32(CURLU_PATH_AS_IS)

    /// - Parameter base: what a relative reference (a `Location`) is resolved against.
    init(_ text: String, relativeTo base: String? = nil) throws {
        guard CurlGlobal.isReady, let handle = curl_url() else {
            throw HTTPError(code: .other, message: "libcurl could not be initialised: out of memory?")
        }
        defer { curl_url_cleanup(handle) }
        // libcurl takes C strings: a NUL would end the URL early, line breaks are never legal.
        guard !text.utf8.contains(where: { $0 < 0x21 || $0 == 0x7f }) else {
            throw Self.invalid("it holds a space or control character; percent-encode it")
        }
        if let base { _ = curl_url_set(handle, CURLUPART_URL, base, Self.flags) }
        let result = curl_url_set(handle, CURLUPART_URL, text, Self.flags | UInt32(CURLU_NON_SUPPORT_SCHEME))
        guard result == CURLUE_OK else {
            throw Self.invalid(String(cString: curl_url_strerror(result)))
        }
        func part(_ part: CURLUPart, _ flags: UInt32 = 0) -> String? {
            var text: UnsafeMutablePointer<CChar>?
            guard curl_url_get(handle, part, &text, flags) == CURLUE_OK, let text else { return nil }
            defer { curl_free(text) }
            return String(cString: text)
        }
        scheme = (part(CURLUPART_SCHEME) ?? "").lowercased()
        guard let host = part(CURLUPART_HOST), !host.isEmpty, let whole = part(CURLUPART_URL) else {
            throw Self.invalid("it names no host")
        }
        self.host = host
        // Resolving against a base is libcurl's work; an absolute URL goes out exactly as it came.
        self.whole = base == nil ? text : whole
        hasExplicitPort = part(CURLUPART_PORT) != nil
        port = part(CURLUPART_PORT, UInt32(CURLU_DEFAULT_PORT)).flatMap(Int.init) ?? 0
        path = part(CURLUPART_PATH) ?? "/"
        query = part(CURLUPART_QUERY)
        let user = part(CURLUPART_USER)
        let password = part(CURLUPART_PASSWORD)
        userInfo = user == nil && password == nil ? nil : "\(user ?? ""):\(password ?? "")"
    }

    var origin: String {
        "\(scheme)://\(host.lowercased()):\(port)"
    }

    /// For errors and logs: no user info, no query, no fragment.
    func display(hidesPath: Bool) -> String {
        "\(scheme)://\(host)\(hasExplicitPort ? ":\(port)" : "")\(hidesPath ? "" : path)"
    }

    /// Only these go out, from the first request to the last redirect.
    func requireHTTP() throws -> CurlURL {
        guard scheme == "http" || scheme == "https" else {
            throw Self.invalid("its scheme is '\(scheme)'; only http and https are allowed")
        }
        return self
    }

    private static func invalid(_ reason: String) -> HTTPError {
        // The text itself stays out: a URL that cannot be read cannot be stripped of its secrets either.
        HTTPError(code: .invalidRequest, message: "the URL cannot be used: \(reason)")
    }
}
