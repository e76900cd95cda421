/// A change of a client's connection.
package enum AMQPConnectionEvent: Hashable, Sendable {
    /// Every connection that the client uses is up (again).
    case connected
    /// One was lost or could not be made; the client keeps trying.
    case disconnected(reason: String)
    /// The broker takes no publishes: an alarm for memory or disk.
    case blocked(reason: String)
    case unblocked
}
