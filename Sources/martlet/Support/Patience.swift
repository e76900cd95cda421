import Logging
import PostgresClient

/// Waits for servers that are about to come up.
enum Patience {
    /// Repeats `body` until it succeeds or `limit` is over; then its last error is thrown.
    static func until(
        _ limit: Duration, logger: Logger, _ what: String, _ body: () async throws -> Void
    ) async throws {
        let deadline = ContinuousClock.now + limit
        var delay = Duration.milliseconds(100)
        while true {
            do {
                return try await body()
            } catch  where ContinuousClock.now < deadline && !(error is CancellationError) {
                logger.info("\(what): trying again", metadata: ["error": "\(error)"])
                try await Task.sleep(for: delay)
                delay = min(delay * 2, .seconds(2))
            }
        }
    }
}
