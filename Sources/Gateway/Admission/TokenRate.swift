import Glibc
import NIOCore

/// Tokens per second that end, as a moving average over some ten seconds. Pure.
struct TokenRate: Equatable, Sendable {
    private static let memory = 10.0

    /// Tokens, each weighted by how long ago it was.
    private var sum = 0.0
    private var updated: NIODeadline?

    mutating func add(_ tokens: Int, _ now: NIODeadline) {
        sum = decayed(now) + Double(tokens)
        updated = now
    }

    func perSecond(_ now: NIODeadline) -> Double {
        decayed(now) / Self.memory
    }

    private func decayed(_ now: NIODeadline) -> Double {
        guard let updated else { return 0 }
        return sum * exp(-Double((now - updated).nanoseconds) / 1e9 / Self.memory)
    }
}
