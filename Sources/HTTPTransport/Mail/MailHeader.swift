/// Mail header fields (RFC 5322, RFC 2047). A line break in any value is an error: it would begin a field of its own.
enum MailHeader {
    private static let own: Set<String> = [
        "from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version", "sender",
        "return-path", "received",
    ]

    static func line(_ name: String, text: String) throws -> String {
        try requireOneLine(name, text)
        return "\(name): " + phrase(text, firstColumn: name.utf8.count + 2)
    }

    static func line(extra header: HTTPHeader) throws -> String {
        let name = header.name
        guard !name.isEmpty, name.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x3a }) else {
            throw invalid(name.debugDescription, "is not a header name")
        }
        let lower = name.lowercased()
        guard !own.contains(lower), !lower.hasPrefix("content-") else {
            throw invalid(name, "is written by the message itself")
        }
        return try line(name, text: header.value)
    }

    static func line(_ name: String, mailboxes: [SMTPMessage.Mailbox]) throws -> String {
        let texts = try mailboxes.map { try text($0, field: name) }
        return "\(name): " + texts.joined(separator: ",\r\n ")
    }

    private static func text(_ mailbox: SMTPMessage.Mailbox, field: String) throws -> String {
        try checkAddress(mailbox.address, field: field)
        guard let name = mailbox.name, !name.isEmpty else { return mailbox.address }
        try requireOneLine(field, name)
        guard isPlain(name), name.utf8.count <= 60 else {
            return encodedWords(name, firstColumn: field.utf8.count + 2) + "\r\n <\(mailbox.address)>"
        }
        let quoted = name.reduce(into: "") { text, character in
            if character == "\"" || character == "\\" { text.append("\\") }
            text.append(character)
        }
        return "\"\(quoted)\" <\(mailbox.address)>"
    }

    /// The envelope has the same address, so that nothing here can become an SMTP command either.
    private static func checkAddress(_ address: String, field: String) throws {
        let parts = address.split(separator: "@", omittingEmptySubsequences: false)
        let special = Set("()<>[]:;,\\\"".utf8)
        guard parts.count == 2, (1...64).contains(parts[0].utf8.count), (1...253).contains(parts[1].utf8.count),
            address.utf8.allSatisfy({ (0x21...0x7e).contains($0) && !special.contains($0) })
        else {
            throw invalid(field, "holds \(address.debugDescription), which is not an ASCII address local@domain")
        }
    }

    private static func requireOneLine(_ name: String, _ value: String) throws {
        guard !value.unicodeScalars.contains(where: { $0.value < 0x20 && $0.value != 0x09 || $0.value == 0x7f }) else {
            throw invalid(name, "holds a line break or control character")
        }
    }

    static func invalid(_ name: String, _ what: String) -> HTTPError {
        HTTPError(code: .invalidRequest, message: "the mail cannot be sent: \(name) \(what)")
    }

    // MARK: Encoding

    private static func isPlain(_ text: String) -> Bool {
        text.utf8.allSatisfy { (0x20...0x7e).contains($0) } && !text.contains("=?")
    }

    /// As it is when it fits and is ASCII; folded at spaces or as encoded words otherwise.
    private static func phrase(_ text: String, firstColumn: Int) -> String {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard isPlain(text), words.allSatisfy({ $0.utf8.count <= 60 }), text.first != " ", text.last != " ",
            !text.contains("  ")
        else { return encodedWords(text, firstColumn: firstColumn) }
        var folded = ""
        var column = firstColumn
        for (index, word) in words.enumerated() {
            if index > 0 {
                folded += column + 1 + word.utf8.count > 76 ? "\r\n " : " "
                column = column + 1 + word.utf8.count > 76 ? 1 : column + 1
            }
            folded += word
            column += word.utf8.count
        }
        return folded
    }

    /// RFC 2047 §2: each word at most 75 bytes and whole characters only.
    private static func encodedWords(_ text: String, firstColumn: Int) -> String {
        var words: [String] = []
        var piece: [UInt8] = []
        func flush() {
            if !piece.isEmpty { words.append("=?UTF-8?B?\(Base64.encode(piece))?=") }
            piece = []
        }
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            // 45 bytes make 60 characters of base64 and a word of 72; the first shares its line with the name.
            if piece.count + bytes.count > (words.isEmpty && firstColumn > 4 ? 33 : 45) { flush() }
            piece += bytes
        }
        flush()
        return words.joined(separator: "\r\n ")
    }
}
