import Synchronization

/// Counts what happened, from any thread.
package final class Progress: Sendable {
    private let value = Mutex(0)

    package init() {}

    package var count: Int { value.withLock { $0 } }

    package func add() { value.withLock { $0 += 1 } }

    /// Returns when nothing was counted for a while, after something was.
    package func waitUntilItStands() async {
        var last = -1
        var same = 0
        while same < 10 {
            try? await Task.sleep(for: .milliseconds(50))
            let now = count
            same = now == last && now > 0 ? same + 1 : 0
            last = now
        }
    }
}
