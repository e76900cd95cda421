import NIOCore

/// When requests that wait become one call.
package enum CoalescingMode: String, Sendable, CaseIterable {
    case off
    case on
    /// Where a trial under load has shown that it wins.
    case auto
}

/// Finds out whether joining requests makes a model version answer more of them: for six short spans, while requests wait,
/// it is on and off by turns. Pure.
///
/// An engine that batches by itself, as vLLM does, gains nothing as long as its HTTP server is not what holds it up; so
/// nobody can know but by trying.
struct CoalescingTrial: Equatable, Sendable {
    /// Which spans are on: balanced, so that a load that grows or falls favours neither.
    private static let turns = [true, false, false, true, true, false]
    /// How long answers are counted in each.
    static let span = TimeAmount.seconds(1)
    /// How long one may last in all, before the load is not what it was.
    static let patience = TimeAmount.seconds(60)
    /// How long a result holds.
    static let validity = TimeAmount.minutes(5)
    /// By how much it must win to be worth it.
    static let gain = 1.1
    /// Spans with fewer answers say nothing.
    static let fewest = 20

    private enum Phase: Equatable {
        case decided(isOn: Bool, until: NIODeadline)
        /// - since: when this span began.
        /// - counting: when the first answer came to a request that was sent in it.
        case trying(since: NIODeadline, counting: NIODeadline?, counts: [Int])
    }

    private var phase = Phase.decided(isOn: false, until: .uptimeNanoseconds(0))

    /// Whether requests are joined now.
    var isOn: Bool {
        switch phase {
        case .decided(let isOn, _): isOn
        case .trying(_, _, let counts): Self.turns[counts.count - 1]
        }
    }

    /// An answer that could have been joined with others has ended.
    ///
    /// Those that were sent in the span before are not counted: as long as the replica works on these, the span shows the
    /// other one's speed.
    /// - Parameters:
    ///   - sent: when the replica was asked.
    ///   - isWaiting: whether more of its kind wait: without, there is nothing to gain and nothing to learn.
    mutating func ended(_ now: NIODeadline, sent: NIODeadline, isWaiting: Bool) {
        switch phase {
        case .decided(_, let until):
            if isWaiting, now >= until { phase = .trying(since: now, counting: nil, counts: [0]) }
        case .trying(let since, let counting, var counts):
            guard now - since < Self.patience else {
                phase = .decided(isOn: false, until: now)
                return
            }
            guard sent >= since else { return }
            // Joined, all of them may have their places: only where they are not does an empty queue mean anything.
            guard isWaiting || isOn else {
                // The load has gone: what was counted cannot be compared.
                phase = .decided(isOn: false, until: now)
                return
            }
            counts[counts.count - 1] += 1
            let start = counting ?? now
            guard now - start >= Self.span else {
                phase = .trying(since: since, counting: start, counts: counts)
                return
            }
            if counts.count < Self.turns.count {
                phase = .trying(since: now, counting: nil, counts: counts + [0])
            } else {
                phase = .decided(isOn: Self.wins(counts), until: now + Self.validity)
            }
        }
    }

    /// What joins cannot be divided again: it is off for a while.
    mutating func giveUp() {
        phase = .decided(isOn: false, until: .now() + Self.validity)
    }

    private static func wins(_ counts: [Int]) -> Bool {
        func sum(_ isOn: Bool) -> Int { zip(turns, counts).reduce(0) { $0 + ($1.0 == isOn ? $1.1 : 0) } }
        guard counts.allSatisfy({ $0 >= fewest }) else { return false }
        return Double(sum(true)) >= gain * Double(sum(false))
    }
}
