/// A reply line of an SMTP server, such as `550 5.1.1 no such user`.
struct SMTPReply: Sendable, Hashable {
    let status: Int
    /// Printable, at most 300 bytes.
    let text: String

    /// `nil` unless the line is a refusal: 4xx or 5xx.
    init?(_ line: UnsafeRawBufferPointer) {
        let digits = line.prefix(3)
        guard let first = digits.first, first == UInt8(ascii: "4") || first == UInt8(ascii: "5"),
            let status = Int(String(decoding: digits, as: UTF8.self))
        else { return nil }
        self.status = status
        let printable = line.prefix(300).map { (0x20...0x7e).contains($0) ? $0 : 0x20 }
        text = String(decoding: printable, as: UTF8.self).split(separator: " ").joined(separator: " ")
    }

    func error(display: String) -> HTTPError {
        // 530, 534, 535, 538: authentication (RFC 4954 §6).
        let isLogin = [530, 534, 535, 538, 454].contains(status)
        return HTTPError(
            code: isLogin ? .mailLoginFailed : .mailRejected,
            message: isLogin
                ? "\(display) refused the login, check user name and password: \(text)"
                : "\(display) refused the mail: \(text)",
            isRetryable: status < 500)
    }
}
