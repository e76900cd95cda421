/// A mail as its author sees it; `SMTPMessage.rendered` makes the RFC 5322 form.
package struct SMTPMessage: Sendable {
    /// Someone's address, with an optional name that may hold any character but control ones.
    package struct Mailbox: Sendable, Hashable {
        package var name: String?
        /// `local@domain`, ASCII.
        package var address: String

        package init(_ address: String, name: String? = nil) {
            self.address = address
            self.name = name
        }
    }

    package var from: Mailbox
    package var to: [Mailbox]
    package var cc: [Mailbox]
    package var replyTo: Mailbox?
    package var subject: String

    /// Plain text, any line endings.
    package var text: String

    /// The same for readers that show HTML.
    package var html: String?

    /// Seconds since 1970; `nil`: now.
    package var date: Int64?

    /// Unique for ever, in the form `id@domain`; `nil`: a random one. A retry of the same mail should repeat it.
    package var messageID: String?

    /// Further header fields.
    package var headers: [HTTPHeader]

    package init(
        from: Mailbox, to: [Mailbox], cc: [Mailbox] = [], replyTo: Mailbox? = nil, subject: String, text: String,
        html: String? = nil, date: Int64? = nil, messageID: String? = nil, headers: [HTTPHeader] = []
    ) {
        self.from = from
        self.to = to
        self.cc = cc
        self.replyTo = replyTo
        self.subject = subject
        self.text = text
        self.html = html
        self.date = date
        self.messageID = messageID
        self.headers = headers
    }
}
