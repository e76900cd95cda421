package import Ledger
package import Logging
import Pipeline
import WorkerRuntime

/// Tells every receiver how a rollout ended. Keeps nothing: any number of them may run.
///
/// A receiver is told again only where this process dies between telling it and writing that down; then under the same
/// idempotency key.
package struct RolloutNotifier: Sendable {
    private let ledger: Ledger
    private let receivers: [Receiver]
    private let sender: NotificationSender
    private let log: Logger

    private static let interval = Duration.seconds(2)
    /// Tries for a receiver that fails.
    private static let attempts = 6
    /// Before the second of these, in seconds; it doubles, up to 3 minutes.
    private let pause: Double

    package init(ledger: Ledger, receivers: [Receiver], sender: NotificationSender, pause: Double = 10, logger: Logger)
    {
        self.ledger = ledger
        self.receivers = receivers
        self.sender = sender
        self.pause = pause
        log = logger
    }

    /// Until it is cancelled.
    package func run() async {
        while !Task.isCancelled {
            do {
                if try await tellNext() { continue }
            } catch {
                log.debug("rollouts are not told of; trying again", metadata: ["error": "\(error)"])
            }
            do { try await Task.sleep(for: Self.interval) } catch { return }
        }
    }

    /// - Returns: false when there is nothing to tell.
    package func tellNext() async throws -> Bool {
        guard let untold = try await ledger.claimUntoldRollout() else { return false }
        let rollout = untold.rollout
        var retry: Double?
        for receiver in receivers where !untold.told.contains(receiver.name) {
            do {
                _ = try await sender.tell(
                    receiver, RolloutNotice(rollout), key: "rollout/\(rollout.id)/\(receiver.name)")
                NotifyMetrics.told(receiver, succeeded: true)
                try await ledger.addTold(rollout.id, receiver: receiver.name)
            } catch let error as any FailureConvertible {
                NotifyMetrics.told(receiver, succeeded: false)
                if error.failure.class != .permanent, untold.attempts < Self.attempts {
                    retry = min(180, pause * Double(1 << (untold.attempts - 1)))
                }
                log.warning(
                    "a receiver was not told how a rollout ended",
                    metadata: ["receiver": "\(receiver.name)", "rollout": "\(rollout.id)", "error": "\(error)"])
            }
        }
        try await ledger.endTelling(rollout.id, retry: retry)
        return true
    }
}
