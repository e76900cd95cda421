/// How the end of a message's body is found (RFC 9112 §6.3).
package enum BodyFraming: Equatable, Sendable {
    /// A body of so many bytes; 0 where there is none.
    case length(Int)
    case chunked
    /// Only in responses.
    case untilClose
}
