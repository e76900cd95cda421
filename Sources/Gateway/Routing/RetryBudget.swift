/// Bounds how many requests are sent again: a part of all requests, so that a failing fleet is not asked twice as much.
struct RetryBudget: Equatable, Sendable {
    /// Of each request.
    private static let share = 0.2
    /// So many may come at once.
    private static let most = 20.0

    private var tokens = Self.most

    mutating func requested() { tokens = min(Self.most, tokens + Self.share) }

    /// Whether one more may be sent again.
    mutating func take() -> Bool {
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
