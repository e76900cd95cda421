import Metrics
import NIOCore
import Synchronization

/// Whether requests are joined, of every version, and how many were.
final class Coalescing: Sendable {
    let mode: CoalescingMode
    let joined = Counter(label: "martlet_gateway_joined_requests_total")
    let shared = Counter(label: "martlet_gateway_shared_answers_total")
    let cached = Counter(label: "martlet_gateway_cached_answers_total")
    private let trials = Mutex<[Int: CoalescingTrial]>([:])

    init(mode: CoalescingMode) {
        self.mode = mode
    }

    func isOn(_ deployment: Int) -> Bool {
        switch mode {
        case .off: false
        case .on: trials.withLock { $0[deployment] == nil }
        case .auto: trials.withLock { $0[deployment]?.isOn ?? false }
        }
    }

    /// An answer that could have been joined with others has ended.
    /// - Parameter sent: when the replica was asked.
    func ended(_ deployment: Int, sent: NIODeadline, isWaiting: Bool) {
        guard mode == .auto else { return }
        trials.withLock { $0[deployment, default: CoalescingTrial()].ended(.now(), sent: sent, isWaiting: isWaiting) }
    }

    func giveUp(_ deployment: Int) {
        trials.withLock { $0[deployment, default: CoalescingTrial()].giveUp() }
    }
}
