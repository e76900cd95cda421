/// How a gateway works on batches.
package struct BatchConfiguration: Sendable {
    /// Requests of batches that it has in hand at the same time, waiting ones included.
    package var requests = 32
    /// Seconds after which another gateway takes over what a dead one worked on.
    package var lease = 30
    /// Lines of a part: what is done again, at most, after a crash.
    package var partLines = 32
    /// Bytes of a part, unless it is a single line.
    package var partBytes = 4 << 20
    /// How much smaller a part of embeddings is: their answers are longer than what they are asked with.
    package var embeddingParts = 32
    /// For so long a model is waited for that was served once and that the gateway does not know: its servers may be starting.
    package var modelPatience = Duration.seconds(600)
    /// A line's bytes: the largest body that the gateway takes, and what stands around it.
    package var lineBytes = (8 << 20) + 4_096
    /// How often it looks for work when there was none.
    package var pause = Duration.seconds(1)

    package init() {}
}

/// Where the requests of batches go: the gateway itself, which routes, counts and bounds them as it does all others.
package struct BatchDoor: Sendable {
    /// `http://host:port`.
    let url: String
    /// What the gateway knows its own requests by, for a key's number.
    let authorization: @Sendable (_ key: Int) -> String

    package init(url: String, authorization: @escaping @Sendable (Int) -> String) {
        self.url = url
        self.authorization = authorization
    }
}
