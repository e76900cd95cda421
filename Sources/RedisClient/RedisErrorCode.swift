/// What kind of thing went wrong, apart from the server's wording. New codes may be added.
package struct RedisErrorCode: Hashable, Sendable, CustomStringConvertible {
    package let description: String

    private init(_ description: String) {
        self.description = description
    }

    /// The URL or a limit cannot be used.
    package static let invalidConfiguration = Self("invalid configuration")
    /// A command or a script's key list cannot be sent as given.
    package static let invalidCommand = Self("invalid command")
    /// No connection within the command's time; nothing was sent.
    package static let notConnected = Self("not connected")
    /// Wrong user or password, or a password where the server has none, or none where it needs one.
    package static let authenticationFailed = Self("authentication failed")
    /// The user's ACL does not allow the command or the key.
    package static let permissionDenied = Self("permission denied")
    /// The connection died with the command in flight: it may or may not have taken effect.
    package static let outcomeUnknown = Self("outcome unknown")
    /// No answer in time: the command may or may not have taken effect.
    package static let timedOut = Self("timed out")
    /// Too many commands wait for the connection.
    package static let queueFull = Self("queue full")
    /// The client was closed by its owner.
    package static let closed = Self("closed")
    /// The server loads its data, fails over, or runs a script: it refuses commands for now.
    package static let unavailable = Self("unavailable")
    /// The server is a replica, or its disk refuses writes.
    package static let readOnly = Self("read-only")
    /// `maxmemory` is reached.
    package static let outOfMemory = Self("out of memory")
    /// `maxclients` is reached.
    package static let tooManyClients = Self("too many clients")
    /// The script is not in the server's cache.
    package static let noScript = Self("no such script")
    /// The key holds another type.
    package static let wrongType = Self("wrong type")
    /// Any other error reply.
    package static let server = Self("server error")
    /// What came is no RESP, or too large or too deep.
    package static let protocolViolation = Self("protocol violation")
}
