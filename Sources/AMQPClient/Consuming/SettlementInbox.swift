import SocketExecutor
import Synchronization

/// Settlements on their way from any thread to the connection's thread.
final class SettlementInbox: Sendable {
    private let waiting = Mutex<[Settlement]>([])
    private let executor: SocketExecutor

    /// - Parameter executor: signalled when the inbox stops being empty.
    init(executor: SocketExecutor) {
        self.executor = executor
    }

    func add(_ settlement: Settlement) {
        let isFirst = waiting.withLock { waiting in
            waiting.append(settlement)
            return waiting.count == 1
        }
        if isFirst { executor.signal() }
    }

    func add(_ settlements: [Settlement]) {
        guard !settlements.isEmpty else { return }
        let isFirst = waiting.withLock { waiting in
            defer { waiting += settlements }
            return waiting.isEmpty
        }
        if isFirst { executor.signal() }
    }

    func takeAll() -> [Settlement] {
        waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
