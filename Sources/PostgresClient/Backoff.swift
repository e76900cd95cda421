/// Waits between attempts to connect: doubling, with full jitter above a floor.
struct Backoff {
    private var ceiling = 50

    static let largest = 2_000

    /// - Returns: between 25 ms and 2 s.
    mutating func next() -> Duration {
        defer { ceiling = min(ceiling * 2, Self.largest) }
        return .milliseconds(Int.random(in: 25...ceiling))
    }
}
