extension HTTPTransport {
    /// Submits the mail; returns when the server has taken it for all recipients.
    ///
    /// Never repeated in here: after a lost connection nobody knows whether the mail is under way.
    /// - Throws: `HTTPError`; `mailRejected` and `mailLoginFailed` quote the server's reply, and are retryable when
    ///   that reply is a transient one (4xx). `CancellationError`.
    package func sendMail(_ message: SMTPMessage, server: SMTPServer) async throws {
        let url = try server.url()
        try server.checkLogin()
        let rendered = try message.rendered()
        let id = engine.makeID()
        let channel = ResponseChannel(limit: configuration.streamBufferSize)
        let spec = TransferSpec(
            url: url.whole, display: url.display(hidesPath: true), origin: url.origin,
            host: url.host.trimmingBrackets(), proxy: nil, addressPolicy: server.addressPolicy,
            timeouts: server.timeouts, deadline: server.timeouts.total.map { .now + $0 },
            upload: .bytes(rendered.bytes),
            kind: .mail(
                TransferSpec.MailSpec(
                    from: message.from.address, recipients: rendered.recipients, security: server.security,
                    username: server.username, password: server.password)))
        let lease = TransferLease(id: id, channel: channel, display: spec.display, engine: engine, pump: nil)
        engine.send(.start(id, spec, channel))
        while try await lease.next() != nil {}
    }
}
