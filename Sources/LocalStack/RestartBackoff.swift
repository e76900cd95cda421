/// How long to wait before a process that ended is started again.
///
/// Doubles from `first` to `longest` while it keeps ending soon; starts over after it has lived for `stable`.
package struct RestartBackoff: Sendable {
    private let first: Duration
    private let longest: Duration
    private let stable: Duration
    private var failures = 0

    package init(
        first: Duration = .milliseconds(500), longest: Duration = .seconds(30), stable: Duration = .seconds(60)
    ) {
        self.first = first
        self.longest = longest
        self.stable = stable
    }

    /// The delay after an end.
    /// - Parameter uptime: how long the process had lived; zero when it could not even be started.
    package mutating func delay(afterUptime uptime: Duration) -> Duration {
        failures = uptime >= stable ? 1 : failures + 1
        let doublings = min(failures - 1, 20)
        return min(first * (1 << doublings), longest)
    }
}
