/// What a listener hears.
package enum PostgresNotification: Hashable, Sendable {
    /// LISTEN is in force for the first time: whatever is notified from now on arrives.
    case listening
    /// A NOTIFY.
    case message(PostgresMessage)
    /// Messages may have been missed (the connection was lost and made again, or the reader was too
    /// slow): read the state again.
    case reconnected
}

/// The content of a NOTIFY.
package struct PostgresMessage: Hashable, Sendable {
    package let channel: String
    package let payload: String
    /// The notifying server process.
    package let processID: Int32
}
