/// How often a failed task is tried, and how long it waits before each further try.
package struct RetryPolicy: Hashable, Sendable, Codable {
    /// Tries in all, the first included; at least 1.
    package var maximumAttempts: Int
    /// Seconds before the second try.
    package var initialDelaySeconds: Double
    /// What each further delay is multiplied by.
    package var multiplier: Double
    package var maximumDelaySeconds: Double

    package init(
        maximumAttempts: Int = 6, initialDelaySeconds: Double = 5, multiplier: Double = 2,
        maximumDelaySeconds: Double = 300
    ) {
        self.maximumAttempts = maximumAttempts
        self.initialDelaySeconds = initialDelaySeconds
        self.multiplier = multiplier
        self.maximumDelaySeconds = maximumDelaySeconds
    }

    /// The wait after the `failures`-th failure: exponential with equal jitter, that is half of the
    /// backoff plus a random share of the other half, so that a herd spreads but nobody retries at once.
    /// - Parameters:
    ///   - failures: failures so far, from 1.
    ///   - fraction: a random number in `0..<1`.
    package func delay(afterFailures failures: Int, fraction: Double) -> Duration {
        var backoff = initialDelaySeconds
        for _ in 1..<max(failures, 1) where backoff < maximumDelaySeconds {
            backoff *= multiplier
        }
        backoff = min(backoff, maximumDelaySeconds)
        return .seconds(backoff / 2 + backoff / 2 * fraction)
    }
}
