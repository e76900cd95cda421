/// What kind of thing went wrong, apart from any server's wording. New codes may be added.
package struct PostgresErrorCode: Hashable, Sendable, CustomStringConvertible {
    package let description: String

    private init(_ description: String) {
        self.description = description
    }

    /// The configuration cannot be used (URL, TLS files, limits).
    package static let invalidConfiguration = Self("invalid configuration")
    /// No connection could be made: refused, unreachable, TLS or authentication failed.
    package static let connectionFailed = Self("connection failed")
    /// The connection was gone and the statement certainly had no effect.
    package static let connectionLost = Self("connection lost")
    /// The connection went away after the statement was sent: it may or may not have taken effect.
    package static let outcomeUnknown = Self("outcome unknown")
    /// The client's or the server's statement timeout ended the statement; it had no effect.
    package static let timedOut = Self("timed out")
    /// No connection of the pool came free in time.
    package static let poolExhausted = Self("pool exhausted")
    /// The pool or the connection was closed by its owner.
    package static let closed = Self("closed")
    /// The server refused the statement; `sqlState` says why.
    package static let server = Self("server error")
    /// A COMMIT that the server turned into a ROLLBACK, because a statement had failed before.
    package static let transactionAborted = Self("transaction aborted")
    /// A parameter cannot be sent (too many, a NUL in a text, a date out of range).
    package static let invalidParameter = Self("invalid parameter")
    /// A column is missing or does not hold what the caller asked for.
    package static let decoding = Self("decoding failed")
    /// The statement asks for something that this client does not do (COPY).
    package static let unsupported = Self("unsupported")
}
