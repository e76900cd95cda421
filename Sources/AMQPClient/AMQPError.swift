/// What went wrong on a connection, a channel or one message, and what to do about it.
///
/// Decide by `code` and `isRetryable`, never by the text. No description holds a password.
package struct AMQPError: Error, Sendable, CustomStringConvertible {
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package let description: String
        package init(_ description: String) { self.description = description }

        /// The URL or a setting is not usable.
        package static let invalidConfiguration = Code("invalid_configuration")
        /// The host name does not resolve.
        package static let hostNotFound = Code("host_not_found")
        /// Nothing listens there, or the host cannot be reached.
        package static let connectionFailed = Code("connection_failed")
        /// The TLS handshake or a certificate was not accepted.
        package static let tlsFailed = Code("tls_failed")
        /// Wrong user or password, or no permission.
        package static let accessRefused = Code("access_refused")
        package static let virtualHostNotFound = Code("virtual_host_not_found")
        /// The connection ended; what was in flight may or may not have happened.
        package static let connectionLost = Code("connection_lost")
        /// `close()` was called.
        package static let closed = Code("closed")
        /// The broker takes no publishes now: an alarm for memory or disk.
        package static let blocked = Code("blocked")
        package static let timeout = Code("timeout")
        /// The broker refused responsibility for the message (`basic.nack`).
        package static let nacked = Code("nacked")
        /// A mandatory message reached no queue (`basic.return`).
        package static let unroutable = Code("unroutable")
        /// A queue or an exchange exists with other properties.
        package static let topologyMismatch = Code("topology_mismatch")
        package static let notFound = Code("not_found")
        /// Another connection holds the queue or the consumer exclusively.
        package static let resourceLocked = Code("resource_locked")
        /// The broker closed the channel for another reason.
        package static let channelClosed = Code("channel_closed")
        /// The broker ended the consumer: its queue was deleted or moved.
        package static let consumerCancelled = Code("consumer_cancelled")
        package static let messageTooLarge = Code("message_too_large")
        /// A name, a header or a property that AMQP 0-9-1 cannot carry.
        package static let invalidMessage = Code("invalid_message")
        /// The waiting task was cancelled.
        package static let cancelled = Code("cancelled")
    }

    package var code: Code
    /// For people: what is wrong, where, and what to do.
    package var message: String
    /// True if the same call may succeed later without a change by anyone.
    package var isRetryable: Bool
    /// True if the call was sent but its outcome never arrived: it may have taken effect.
    package var isOutcomeUnknown: Bool
    /// AMQP's own number, such as 404 or 406, if the broker said it.
    package var replyCode: UInt16?
    package var cause: (any Error)?

    package init(
        _ code: Code, _ message: String, isRetryable: Bool = false, isOutcomeUnknown: Bool = false,
        replyCode: UInt16? = nil, cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.isRetryable = isRetryable
        self.isOutcomeUnknown = isOutcomeUnknown
        self.replyCode = replyCode
        self.cause = cause
    }

    package var description: String {
        var text = "\(code): \(message)"
        if let cause { text += " (\(cause))" }
        return text
    }
}
