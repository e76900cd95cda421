import Pipeline
import Synchronization

/// Holds the latest progress between two heartbeats: what nobody would see is never sent.
final class ProgressReporter: Sendable {
    private let latest = Mutex<JSONValue?>(nil)

    func set(_ progress: JSONValue) {
        latest.withLock { $0 = progress }
    }

    /// Puts back what could not be sent, unless there is something newer.
    func setIfEmpty(_ progress: JSONValue) {
        latest.withLock { $0 = $0 ?? progress }
    }

    /// What was reported since the last call.
    func take() -> JSONValue? {
        latest.withLock { latest in
            defer { latest = nil }
            return latest
        }
    }
}
