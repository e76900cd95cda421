package import NIOCore

/// How a gateway listens, what it bounds and whom it asks.
package struct GatewayConfiguration: Sendable {
    package var host: String
    /// 0 lets the system choose.
    package var port: Int
    /// Event loops, each on a thread of its own.
    package var threads: Int
    package var limits = GatewayLimits()
    package var timeouts = GatewayTimeouts()
    /// Whether every request needs a key. Without, all who reach the port may ask.
    package var requiresKeys = true
    /// Whether requests that wait and differ only in their prompts become one call.
    package var coalescing = CoalescingMode.auto

    package init(host: String = "127.0.0.1", port: Int = 0, threads: Int = 1) {
        self.host = host
        self.port = port
        self.threads = threads
    }
}

/// Sizes and counts.
package struct GatewayLimits: Sendable {
    /// Clients' connections at the same time; further ones are closed at once.
    package var connections = 20_000
    /// The request line and header fields, in bytes.
    package var head = 32_768
    /// A request's body, in bytes.
    package var body = 8 << 20
    /// A file that is uploaded, with its form, in bytes.
    package var upload = 200 << 20
    /// Bytes of answers that are kept for who asks the same again, where there is one right answer; 0 keeps none.
    package var answerCache = 0
    /// Arrays and objects of a body inside one another.
    package var depth = 64
    /// Bytes of further requests that are taken from a client before the one before is answered.
    package var pipelined = 65_536
    /// Bytes of an answer that the kernel keeps on the way to a client that takes none; by itself it would let several
    /// megabytes pile up on each connection.
    package var socketBuffer = SocketOptionValue(256 << 10)
    /// Answers in pieces, of one event loop, from which on it reads them all together, once a millisecond: with fewer, a token
    /// would wait longer for nothing.
    package var readsTogether = 128
    /// Of one model version: requests that wait for a place, all keys together.
    package var queued = 2_000
    /// Of one model version: requests of one key that wait.
    package var queuedPerKey = 500
    /// A request is sent to so many replicas at most, as long as none has answered with a byte.
    package var attempts = 3

    package init() {}
}

/// Times after which something is given up.
package struct GatewayTimeouts: Sendable {
    /// For a request's head, from its first byte on.
    package var head = Duration.seconds(10)
    /// For a request's body, from the end of the head on.
    package var body = Duration.seconds(60)
    /// For a file that is uploaded as a whole; ``body`` is then for each of its pieces.
    package var upload = Duration.seconds(3_600)
    /// Between two requests of a connection.
    package var keepAlive = Duration.seconds(75)
    /// For a place at a replica.
    package var queue = Duration.seconds(30)
    /// For a connection to a replica.
    package var connect = Duration.seconds(2)
    /// From sending a request to the first byte of its answer; of one that comes in one piece, ``perToken`` for each of its
    /// tokens more.
    package var firstToken = Duration.seconds(120)
    /// For a token of an answer that comes in one piece, which begins when it is whole. Where nobody says how many it may have,
    /// such an answer may take ``total``, and a batch's always may.
    package var perToken = Duration.milliseconds(500)
    /// From sending a short request until another replica is asked too; nil for never.
    package var hedge: Duration?
    /// Between two pieces of an answer.
    package var betweenTokens = Duration.seconds(60)
    /// For the whole answer, from sending the request on.
    package var total = Duration.seconds(900)
    /// How long a client may read nothing of what waits for it.
    package var stalledClient = Duration.seconds(60)
    /// How long a connection to a replica is kept unused; below the five seconds after which vLLM closes it.
    package var upstreamIdle = Duration.seconds(4)

    package init() {}
}
