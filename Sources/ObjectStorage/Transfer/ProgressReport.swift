import Synchronization

/// Adds up what the pieces of a transfer report, and tells the caller in order.
final class ProgressReport: Sendable {
    private let done = Mutex<Int64>(0)
    private let total: Int64
    private let progress: TransferProgress?

    init(total: Int64, progress: TransferProgress?) {
        self.total = total
        self.progress = progress
    }

    func add(_ count: Int64) {
        guard let progress else { return }
        // Called with the lock held, so that a later sum never overtakes an earlier one.
        done.withLock { done in
            done += count
            progress(done, total)
        }
    }
}
