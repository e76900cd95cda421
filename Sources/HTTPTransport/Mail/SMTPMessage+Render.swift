extension SMTPMessage {
    /// A mail ready for DATA (without the dot-stuffing, which is libcurl's), and who gets it.
    package struct Rendered: Sendable {
        package let bytes: [UInt8]
        package let recipients: [String]
    }

    /// The RFC 5322 form: CRLF line ends, ASCII only, no line above 998 bytes.
    /// - Throws: `HTTPError` that names the field which holds a line break or is otherwise not a header value.
    package func rendered() throws -> Rendered {
        var recipients: [String] = []
        for mailbox in to + cc where !recipients.contains(mailbox.address) { recipients.append(mailbox.address) }
        guard !recipients.isEmpty else { throw MailHeader.invalid("To", "names no recipient") }
        guard recipients.count <= 100 else {
            throw MailHeader.invalid("To", "names \(recipients.count) recipients; servers must take 100 (RFC 5321)")
        }

        var lines = [
            try MailHeader.line("From", mailboxes: [from]),
            try MailHeader.line("To", mailboxes: to),
        ]
        if to.isEmpty { lines.removeLast() }
        if !cc.isEmpty { lines.append(try MailHeader.line("Cc", mailboxes: cc)) }
        if let replyTo { lines.append(try MailHeader.line("Reply-To", mailboxes: [replyTo])) }
        lines.append(try MailHeader.line("Subject", text: subject))
        lines.append("Date: " + MailDate.text(date ?? MailDate.now()))
        lines.append("Message-ID: <\(try identity())>")
        for header in headers { lines.append(try MailHeader.line(extra: header)) }
        lines.append("MIME-Version: 1.0")
        lines += body()
        return Rendered(bytes: Array((lines.joined(separator: "\r\n") + "\r\n").utf8), recipients: recipients)
    }

    private func identity() throws -> String {
        guard let messageID else {
            let domain = from.address.split(separator: "@").last.map(String.init) ?? "localhost"
            return "\(Self.token()).\(Self.token())@\(domain)"
        }
        let allowed = messageID.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x3c && $0 != 0x3e }
        guard allowed, messageID.utf8.count <= 200, messageID.contains("@") else {
            throw MailHeader.invalid("Message-ID", "is not of the form id@domain")
        }
        return messageID
    }

    private static func token() -> String {
        String(UInt64.random(in: .min ... .max), radix: 16)
    }

    private func body() -> [String] {
        guard let html else { return Self.part("text/plain", text) }
        // "=_" never occurs in quoted-printable text, so the boundary cannot occur in a part.
        let boundary = "=_\(Self.token())\(Self.token())"
        return ["Content-Type: multipart/alternative;\r\n boundary=\"\(boundary)\"", "", "--\(boundary)"]
            + Self.part("text/plain", text) + ["--\(boundary)"] + Self.part("text/html", html) + ["--\(boundary)--"]
    }

    private static func part(_ type: String, _ text: String) -> [String] {
        ["Content-Type: \(type); charset=utf-8", "Content-Transfer-Encoding: quoted-printable", ""]
            + QuotedPrintable.lines(text)
    }
}
