import CCurl

extension Transfer {
    /// Makes the handle and tells libcurl everything.
    /// - Throws: `HTTPError` when libcurl refuses a setting.
    func prepare() throws {
        guard let handle = curl_easy_init() else {
            throw HTTPError(code: .other, message: "libcurl made no handle: out of memory?", isRetryable: true)
        }
        easy = handle
        let options = CurlOptions(easy: handle)
        try options.set(CURLOPT_NOSIGNAL, 1)
        // Cancelling during name resolution must not hold up the thread until the resolver gives up.
        try options.set(CURLOPT_QUICK_EXIT, 1)
        try options.set(CURLOPT_URL, spec.url)
        try options.set(CURLOPT_PATH_AS_IS, 1)
        try options.set(CURLOPT_FOLLOWLOCATION, 0)
        try options.set(CURLOPT_TCP_NODELAY, 1)
        try options.set(CURLOPT_TCP_KEEPALIVE, 1)
        try options.set(CURLOPT_BUFFERSIZE, configuration.receiveBufferSize)
        try options.set(CURLOPT_UPLOAD_BUFFERSIZE, configuration.sendBufferSize)
        try options.set(CURLOPT_CONNECTTIMEOUT_MS, max(spec.timeouts.connect.wholeMilliseconds, 1))
        try options.set(pointer: CURLOPT_ERRORBUFFER, UnsafeMutableRawPointer(errorText))
        try setTLS(options)
        try setProxy(options)
        try setCallbacks(options)
        switch spec.kind {
        case .http(let http): try setHTTP(http, options)
        case .mail(let mail): try setMail(mail, options)
        }
    }

    private func setTLS(_ options: CurlOptions) throws {
        try options.set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if let file = configuration.certificateAuthorityFile { try options.set(CURLOPT_CAINFO, file) }
        if let folder = configuration.certificateAuthorityFolder { try options.set(CURLOPT_CAPATH, folder) }
    }

    /// Always said, so that libcurl never looks at the environment by itself.
    private func setProxy(_ options: CurlOptions) throws {
        try options.set(CURLOPT_PROXY, spec.proxy ?? "")
        try options.set(CURLOPT_NOPROXY, "")
        try options.set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    }

    private func setCallbacks(_ options: CurlOptions) throws {
        let context = Unmanaged.passUnretained(self).toOpaque()
        try options.set(data: CURLOPT_WRITEFUNCTION, TransferCallbacks.write, CURLOPT_WRITEDATA, context)
        try options.set(data: CURLOPT_HEADERFUNCTION, TransferCallbacks.header, CURLOPT_HEADERDATA, context)
        try options.set(data: CURLOPT_READFUNCTION, TransferCallbacks.read, CURLOPT_READDATA, context)
        try options.check(martlet_easy_set_seek(options.easy, TransferCallbacks.seek))
        try options.set(pointer: CURLOPT_SEEKDATA, context)
        try options.check(martlet_easy_set_socket(options.easy, TransferCallbacks.openSocket))
        try options.set(pointer: CURLOPT_OPENSOCKETDATA, context)
        try options.check(martlet_easy_set_prereq(options.easy, TransferCallbacks.prerequest))
        try options.set(pointer: CURLOPT_PREREQDATA, context)
    }

    private func setHTTP(_ http: TransferSpec.HTTPSpec, _ options: CurlOptions) throws {
        try options.set(CURLOPT_PROTOCOLS_STR, "http,https")
        try options.set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https")
        try options.set(CURLOPT_USERAGENT, configuration.userAgent)
        try options.set(
            CURLOPT_HTTP_VERSION,
            Int(configuration.offersHTTP2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1))
        if http.decompressionLimit != nil { try options.set(CURLOPT_ACCEPT_ENCODING, "gzip, deflate") }

        var lines = http.headerLines
        let length = spec.upload.length
        let needsBody = length != 0 || ["POST", "PUT", "PATCH"].contains(http.method)
        if http.method == "HEAD" {
            try options.set(CURLOPT_NOBODY, 1)
        } else if needsBody {
            try options.set(CURLOPT_UPLOAD, 1)
            if let length { try options.set(offset: CURLOPT_INFILESIZE_LARGE, length) }
            if !(http.expectsContinue && length ?? .max > 1 << 20) { lines.append("Expect:") }
        }
        try options.set(CURLOPT_CUSTOMREQUEST, http.method)
        // libcurl sends a request with an empty body again on its own when a pooled connection dies; only a body
        // that cannot be rewound stops it. A fresh connection leaves it no reason to.
        if !http.isRepeatable && (length == 0 || !needsBody) { try options.set(CURLOPT_FRESH_CONNECT, 1) }
        headerList = try options.list(lines)
        try options.check(martlet_easy_set_list(options.easy, CURLOPT_HTTPHEADER, headerList))
    }

    private func setMail(_ mail: TransferSpec.MailSpec, _ options: CurlOptions) throws {
        try options.set(CURLOPT_PROTOCOLS_STR, "smtp,smtps")
        try options.set(CURLOPT_UPLOAD, 1)
        try options.set(offset: CURLOPT_INFILESIZE_LARGE, spec.upload.length ?? -1)
        try options.set(CURLOPT_MAIL_FROM, "<\(mail.from)>")
        recipientList = try options.list(mail.recipients.map { "<\($0)>" })
        try options.check(martlet_easy_set_list(options.easy, CURLOPT_MAIL_RCPT, recipientList))
        let level =
            switch mail.security {
            case .none: CURLUSESSL_NONE
            case .opportunisticStartTLS: CURLUSESSL_TRY
            case .requiredStartTLS, .tls: CURLUSESSL_ALL
            }
        try options.set(CURLOPT_USE_SSL, Int(level.rawValue))
        if let username = mail.username { try options.set(CURLOPT_USERNAME, username) }
        if let password = mail.password { try options.set(CURLOPT_PASSWORD, password) }
        // A mail is one session: a pooled one could belong to another login.
        try options.set(CURLOPT_FRESH_CONNECT, 1)
        try options.set(CURLOPT_FORBID_REUSE, 1)
    }
}

extension Duration {
    /// Rounded down, at most the 24 days that libcurl takes.
    var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        guard seconds < Int64(Int32.max) / 1000 else { return Int(Int32.max) }
        return max(0, Int(seconds * 1000 + attoseconds / 1_000_000_000_000_000))
    }
}
