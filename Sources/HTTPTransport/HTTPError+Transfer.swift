import CCurl

extension HTTPError {
    static func addressRefused(host: String, address: IPAddress, kind: String) -> HTTPError {
        HTTPError(
            code: .addressRefused,
            message: "connecting to \(host) is refused: \(address) is a \(kind) address; "
                + "allow the host or its network in the configuration if this is intended")
    }

    static func bodyLength(display: String, promised: Int64, got: String) -> HTTPError {
        HTTPError(
            code: .requestBodyFailed,
            message: "the body for \(display) was announced with \(promised) bytes, but its source gave \(got)")
    }

    static func bodyTooLarge(display: String, limit: Int64) -> HTTPError {
        HTTPError(
            code: .bodyTooLarge, message: "the answer of \(display) is larger than the \(limit) bytes allowed here")
    }

    static func headersTooLarge(display: String, configuration: HTTPTransportConfiguration) -> HTTPError {
        HTTPError(
            code: .headersTooLarge,
            message: "the header of \(display)'s answer exceeds \(configuration.maximumHeaderBytes) bytes "
                + "or \(configuration.maximumHeaderCount) fields")
    }

    static func expired(_ expiry: TransferClock.Expiry, display: String, timeouts: HTTPTimeouts) -> HTTPError {
        switch expiry {
        case .connect:
            HTTPError(
                code: .connectTimeout,
                message: "no connection to \(display) within \(timeouts.connect); is the server up and reachable?",
                isRetryable: true)
        case .firstByte:
            HTTPError(
                code: .firstByteTimeout,
                message: "\(display) took the request but gave no answer within \(timeouts.firstByte)",
                isRetryable: true)
        case .idle:
            HTTPError(
                code: .idleTimeout, message: "nothing moved to or from \(display) for \(timeouts.idle)",
                isRetryable: true)
        case .total:
            HTTPError(
                code: .totalTimeout,
                message:
                    "the call to \(display) was not done within \(timeouts.total.map(String.init(describing:)) ?? "its limit")",
                isRetryable: true)
        }
    }
}

extension Transfer {
    /// What a failed transfer means. A cause found in a callback outranks libcurl's code, which only says "aborted".
    func error(for code: CURLcode) -> HTTPError {
        if let failure { return failure }
        if code == CURLE_OPERATION_TIMEDOUT && !clock.isConnected {
            return .expired(.connect, display: spec.display, timeouts: spec.timeouts)
        }
        if let mailRefusal, code != CURLE_USE_SSL_FAILED { return mailRefusal.error(display: spec.display) }
        let meaning = CurlFailure(code: code, display: spec.display, isMail: isMail, isAfterHead: isHeadDelivered)
        return HTTPError(
            code: meaning.code, message: meaning.message, isRetryable: meaning.isRetryable, curlText: curlText(code))
    }

    private var isMail: Bool {
        if case .mail = spec.kind { true } else { false }
    }

    /// libcurl's detailed text, unless it could repeat a secret.
    private func curlText(_ code: CURLcode) -> String {
        let plain = String(cString: curl_easy_strerror(code))
        let detail = String(cString: errorText)
        guard !detail.isEmpty, !secrets.contains(where: { detail.contains($0) }) else { return plain }
        return detail
    }

    private var secrets: [String] {
        var secrets: [String] = []
        if let url = try? CurlURL(spec.url) {
            secrets += [url.query, url.userInfo].compactMap { $0 }
            if url.path.utf8.count > 1 && !spec.display.hasSuffix(url.path) { secrets.append(url.path) }
        }
        if let proxy = spec.proxy, let userInfo = (try? CurlURL(proxy))?.userInfo { secrets.append(userInfo) }
        if case .mail(let mail) = spec.kind, let password = mail.password { secrets.append(password) }
        return secrets.filter { !$0.isEmpty }
    }
}
