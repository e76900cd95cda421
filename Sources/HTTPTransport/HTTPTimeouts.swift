/// How long each phase of a call may take; every one ends in an error code of its own.
package struct HTTPTimeouts: Sendable, Hashable {
    /// Name resolution, TCP and TLS, until the request can be sent.
    package var connect: Duration

    /// From the last byte of the request to the first byte of the answer.
    package var firstByte: Duration

    /// Without a byte moving in either direction while the peer is the one waited for. A consumer or a body source
    /// of our own that is slow does not count: backpressure is not a fault of the peer.
    package var idle: Duration

    /// The whole call: every attempt, redirect and pause between them, and the body to its last byte. `nil`: no limit.
    package var total: Duration?

    package init(
        connect: Duration = .seconds(10), firstByte: Duration = .seconds(60), idle: Duration = .seconds(60),
        total: Duration? = nil
    ) {
        self.connect = connect
        self.firstByte = firstByte
        self.idle = idle
        self.total = total
    }
}
