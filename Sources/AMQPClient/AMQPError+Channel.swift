extension AMQPError {
    /// The meaning of a `channel.close` (AMQP 0-9-1, section 1.1).
    init(channelClosed code: UInt16, text: String) {
        switch code {
        case 403: self.init(.accessRefused, text, replyCode: code)
        case 404: self.init(.notFound, text, replyCode: code)
        case 405: self.init(.resourceLocked, text, isRetryable: true, replyCode: code)
        default:
            self.init(
                .channelClosed, "the broker closed the channel: \(code) \(text)", isRetryable: true, replyCode: code)
        }
    }
}
