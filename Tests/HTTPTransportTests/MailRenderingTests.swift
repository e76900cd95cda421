import Testing

@testable import HTTPTransport

@Suite struct MailRenderingTests {
    private func message(
        subject: String = "s", to: [SMTPMessage.Mailbox] = [.init("b@example.com")], text: String = "t"
    ) -> SMTPMessage {
        SMTPMessage(
            from: .init("a@example.com"), to: to, subject: subject, text: text, date: 1_700_000_000, messageID: "1@x")
    }

    @Test func aPlainMailIsExactlyThis() throws {
        let rendered = try message(text: "a = b\nc\u{20}").rendered()
        #expect(
            String(decoding: rendered.bytes, as: UTF8.self)
                == [
                    "From: a@example.com", "To: b@example.com", "Subject: s", "Date: Tue, 14 Nov 2023 22:13:20 +0000",
                    "Message-ID: <1@x>", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
                    "Content-Transfer-Encoding: quoted-printable", "", "a =3D b", "c=20", "",
                ].joined(separator: "\r\n"))
        #expect(rendered.recipients == ["b@example.com"])
    }

    @Test(arguments: ["a\nBcc: c@d", "a\r\nb", "a\rb", "a\u{0}b", "\u{7f}"])
    func aLineBreakInAHeaderIsAnError(text: String) {
        #expect(throws: HTTPError.self) { try message(subject: text).rendered() }
        #expect(throws: HTTPError.self) { try message(to: [.init("b@x", name: text)]).rendered() }
        #expect(throws: HTTPError.self) { try message(to: [.init("b\(text)@x")]).rendered() }
        var extra = message()
        extra.headers = [HTTPHeader("X-A", text)]
        #expect(throws: HTTPError.self) { try extra.rendered() }
        extra.headers = [HTTPHeader("X-A\(text)", "1")]
        #expect(throws: HTTPError.self) { try extra.rendered() }
        extra.headers = []
        extra.messageID = text + "@x"
        #expect(throws: HTTPError.self) { try extra.rendered() }
    }

    @Test(arguments: ["", "a", "a@", "@b", "a@b@c", "a b@c", "<a@b>", "ä@b", "a@b>,<c@d"])
    func aBrokenAddressIsNamed(address: String) {
        let error = #expect(throws: HTTPError.self) { try message(to: [.init(address)]).rendered() }
        #expect(error?.message.contains(address.debugDescription) == true)
    }

    @Test func ownFieldsCannotBeReplaced() {
        var message = message()
        message.headers = [HTTPHeader("bcc", "x@y")]
        #expect(throws: HTTPError.self) { try message.rendered() }
        message.headers = [HTTPHeader("X-Martlet-Run", "1")]
        #expect(throws: Never.self) { try message.rendered() }
        message.to = []
        #expect(throws: HTTPError.self) { try message.rendered() }
    }

    @Test func longLinesAreBroken() {
        let lines = QuotedPrintable.lines(String(repeating: "=", count: 100) + String(repeating: "a", count: 200))
        #expect(lines.allSatisfy { $0.utf8.count <= 76 })
        #expect(lines.dropLast().allSatisfy { $0.hasSuffix("=") })
        #expect(QuotedPrintable.lines("a\r\nb\rc\n\nd") == ["a", "b", "c", "", "d"])
        #expect(QuotedPrintable.lines("ü\t") == ["=C3=BC=09"])
    }

    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy"),
    ])
    func base64IsThatOfTheRFC(plain: String, encoded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
    }
}
