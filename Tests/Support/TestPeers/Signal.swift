/// Something that a test waits for.
package struct Signal: Sendable {
    private let stream: AsyncStream<ContinuousClock.Instant>
    private let continuation: AsyncStream<ContinuousClock.Instant>.Continuation

    package init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    package func fire() {
        continuation.yield(.now)
    }

    /// The moment at which it was fired; once for each firing.
    package func wait() async -> ContinuousClock.Instant {
        for await moment in stream { return moment }
        return .now
    }
}
