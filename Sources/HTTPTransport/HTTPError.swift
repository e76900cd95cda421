/// Why a call failed, and what to do about it. Never holds a query, user info, header or body: it is safe to log.
package struct HTTPError: Error, Sendable {
    /// An open set: callers switch over the ones they know.
    package struct Code: RawRepresentable, Sendable, Hashable {
        package let rawValue: String

        package init(rawValue: String) {
            self.rawValue = rawValue
        }

        package static let invalidRequest = Code(rawValue: "invalid_request")
        package static let unresolvedHost = Code(rawValue: "unresolved_host")
        package static let connectFailed = Code(rawValue: "connect_failed")
        package static let connectTimeout = Code(rawValue: "connect_timeout")
        package static let firstByteTimeout = Code(rawValue: "first_byte_timeout")
        package static let idleTimeout = Code(rawValue: "idle_timeout")
        package static let totalTimeout = Code(rawValue: "total_timeout")
        package static let tls = Code(rawValue: "tls")
        package static let connectionLost = Code(rawValue: "connection_lost")
        package static let truncatedBody = Code(rawValue: "truncated_body")
        package static let protocolViolation = Code(rawValue: "protocol_violation")
        package static let headersTooLarge = Code(rawValue: "headers_too_large")
        package static let bodyTooLarge = Code(rawValue: "body_too_large")
        package static let addressRefused = Code(rawValue: "address_refused")
        package static let tooManyRedirects = Code(rawValue: "too_many_redirects")
        package static let redirectRefused = Code(rawValue: "redirect_refused")
        package static let proxyFailed = Code(rawValue: "proxy_failed")
        package static let requestBodyFailed = Code(rawValue: "request_body_failed")
        package static let fileFailed = Code(rawValue: "file_failed")
        package static let mailRejected = Code(rawValue: "mail_rejected")
        package static let mailLoginFailed = Code(rawValue: "mail_login_failed")
        package static let closed = Code(rawValue: "closed")
        package static let other = Code(rawValue: "other")
    }

    package let code: Code

    /// What happened, where, and what to do next.
    package let message: String

    /// The same call may succeed later with nothing changed on our side.
    package let isRetryable: Bool

    /// libcurl's own words, where it was the one that failed.
    package let curlText: String?

    /// What a request body's own stream threw.
    package let underlying: (any Error)?

    package init(
        code: Code, message: String, isRetryable: Bool = false, curlText: String? = nil,
        underlying: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.isRetryable = isRetryable
        self.curlText = curlText
        self.underlying = underlying
    }
}

extension HTTPError: CustomStringConvertible {
    package var description: String {
        guard let curlText else { return "\(code.rawValue): \(message)" }
        return "\(code.rawValue): \(message) (libcurl: \(curlText))"
    }
}
