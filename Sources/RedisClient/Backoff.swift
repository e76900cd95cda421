/// Waits between attempts to connect: doubling, with full jitter above a floor.
struct Backoff {
    private var ceiling = 50

    /// - Returns: between 10 ms and `maximum`.
    mutating func next(maximum: Duration) -> Duration {
        let (seconds, attoseconds) = maximum.components
        let limit = Int(clamping: seconds) * 1_000 + Int(attoseconds / 1_000_000_000_000_000)
        let top = max(10, min(ceiling, limit))
        ceiling = min(ceiling * 2, 60_000)
        return .milliseconds(Int.random(in: 10...top))
    }
}
