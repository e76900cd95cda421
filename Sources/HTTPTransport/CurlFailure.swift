import CCurl

/// A libcurl code put into our terms.
struct CurlFailure {
    let code: HTTPError.Code
    let message: String
    let isRetryable: Bool

    init(code: CURLcode, display: String, isMail: Bool, isAfterHead: Bool) {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST:
            self.init(.unresolvedHost, "the host of \(display) does not resolve; check its name and DNS", true)
        case CURLE_COULDNT_RESOLVE_PROXY:
            self.init(.proxyFailed, "the proxy for \(display) does not resolve; check the proxy settings", true)
        case CURLE_PROXY:
            self.init(.proxyFailed, "the proxy for \(display) refused; check its address and login", true)
        case CURLE_COULDNT_CONNECT:
            self.init(.connectFailed, "no connection to \(display); is the server up and the port right?", true)
        case CURLE_OPERATION_TIMEDOUT:
            self.init(.connectionLost, "\(display) stopped answering", true)
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR:
            self.init(
                .tls, "the certificate of \(display) is not trusted; set the CA file (SSL_CERT_FILE) or fix it", false)
        case CURLE_SSL_CACERT_BADFILE:
            self.init(.tls, "the CA file set for \(display) cannot be read; check SSL_CERT_FILE", false)
        case CURLE_USE_SSL_FAILED:
            self.init(.tls, "\(display) offers no STARTTLS, which is required; choose its TLS port or setting", false)
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CIPHER, CURLE_SSL_CERTPROBLEM:
            self.init(.tls, "TLS with \(display) failed; does it speak TLS on this port?", true)
        case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING, CURLE_SEND_FAIL_REWIND, CURLE_HTTP2,
            CURLE_HTTP2_STREAM:
            let when = isAfterHead ? "in the middle of its answer" : "before it answered"
            self.init(.connectionLost, "\(display) closed the connection \(when)", true)
        case CURLE_PARTIAL_FILE:
            self.init(.truncatedBody, "the answer of \(display) ended before its announced length", true)
        case CURLE_LOGIN_DENIED:
            self.init(.mailLoginFailed, "\(display) refused the login; check user name and password", false)
        case CURLE_WEIRD_SERVER_REPLY where isMail, CURLE_REMOTE_ACCESS_DENIED, CURLE_QUOTE_ERROR:
            self.init(.mailRejected, "\(display) refused the mail", false)
        case CURLE_BAD_CONTENT_ENCODING:
            self.init(.protocolViolation, "the compressed answer of \(display) cannot be unpacked", false)
        case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL, CURLE_HTTP_RETURNED_ERROR:
            self.init(.protocolViolation, "\(display) does not answer as an HTTP server does", false)
        case CURLE_URL_MALFORMAT:
            self.init(.invalidRequest, "libcurl cannot use the URL \(display)", false)
        default:
            self.init(.other, "the call to \(display) failed", false)
        }
    }

    private init(_ code: HTTPError.Code, _ message: String, _ isRetryable: Bool) {
        self.code = code
        self.message = message
        self.isRetryable = isRetryable
    }
}
