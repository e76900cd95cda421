/// What a subscriber hears.
package enum RedisPubSubMessage: Hashable, Sendable {
    /// Every channel and pattern is subscribed for the first time: whatever is published from now on arrives.
    case subscribed
    /// - Parameter pattern: the pattern that matched, nil for a plain channel.
    case message(channel: String, pattern: String?, payload: [UInt8])
    /// Messages may have been missed (the connection was lost and made again, or the reader was too
    /// slow): read the state again.
    case resubscribed

    /// The payload as text; nil for the markers and for bytes that are no UTF-8.
    package var text: String? {
        guard case .message(_, _, let payload) = self else { return nil }
        return String(validating: payload, as: UTF8.self)
    }
}
