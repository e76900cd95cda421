/// The time that an ingest has, from its first look at a source.
package struct IngestClock: Sendable {
    private let start = ContinuousClock.now
    private let limit: Duration?

    package init(_ limits: IngestLimits) {
        limit = limits.timeLimit
    }

    /// Nil for no limit.
    var rest: Duration? { limit.map { $0 - (ContinuousClock.now - start) } }

    /// - Throws: `IngestError` with code `ingest.time_limit_exceeded`, or `CancellationError`.
    func check(_ done: @autoclosure () -> String) throws {
        try Task.checkCancellation()
        if let rest, rest < .zero { throw exceeded(done()) }
    }

    func exceeded(_ done: String) -> IngestError {
        IngestError(
            .timeLimitExceeded,
            "The ingest took longer than \(limit ?? .zero) (limits.time_limit_seconds), after \(done).")
    }
}
