/// When a call is sent again: after a failure to connect, a reset before the head of the answer, or the statuses
/// 429, 502, 503 and 504. Only idempotent methods, unless the request vouches for itself with `isSafeToRepeat`.
package struct HTTPRetryPolicy: Sendable, Hashable {
    /// Sends in all, the first included; 1 means no retry.
    package var maximumAttempts: Int

    /// Upper bound of the first pause; it doubles with every further one. The pause is drawn evenly from half of it up.
    package var baseDelay: Duration

    /// Upper bound of any pause that we choose ourselves.
    package var maximumDelay: Duration

    /// A `Retry-After` above this is not waited for: the answer is handed to the caller instead.
    package var maximumRetryAfter: Duration

    /// The caller's word that a second arrival of the request does no harm although its method says otherwise.
    package var isSafeToRepeat: Bool

    package init(
        maximumAttempts: Int = 3, baseDelay: Duration = .milliseconds(200), maximumDelay: Duration = .seconds(5),
        maximumRetryAfter: Duration = .seconds(30), isSafeToRepeat: Bool = false
    ) {
        self.maximumAttempts = maximumAttempts
        self.baseDelay = baseDelay
        self.maximumDelay = maximumDelay
        self.maximumRetryAfter = maximumRetryAfter
        self.isSafeToRepeat = isSafeToRepeat
    }

    package static let standard = HTTPRetryPolicy()
    package static let none = HTTPRetryPolicy(maximumAttempts: 1)

    /// RFC 9110 §9.2.2. TRACE is left out on purpose: nothing here sends it.
    static let idempotentMethods: Set<String> = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]

    func allowsRepeating(method: String) -> Bool {
        isSafeToRepeat || Self.idempotentMethods.contains(method)
    }

    static func isRetryable(status: Int) -> Bool {
        status == 429 || (502...504).contains(status)
    }

    /// The pause before attempt `next` (2 for the first retry); `random` is drawn from 0..<1.
    func pause(beforeAttempt next: Int, random: Double) -> Duration {
        let doubled = baseDelay * (1 << min(max(next - 2, 0), 20))
        return min(doubled, maximumDelay) * (0.5 + random / 2)
    }
}
