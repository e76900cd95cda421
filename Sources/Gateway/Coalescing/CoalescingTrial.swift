import NIOCore

/// When requests that wait become one call.
package enum CoalescingMode: String, Sendable, CaseIterable {
    case off
    case on
    /// Where a trial under load has shown that it wins.
    case auto
}

/// Finds out whether joining requests makes a model version answer more of them: for six short spans, while requests wait,
/// it is on and off by turns, and has to win each time. Pure.
///
/// An engine that batches by itself, as vLLM does, gains nothing as long as its HTTP server is not what holds it up; so
/// nobody can know but by trying.
struct CoalescingTrial: Equatable, Sendable {
    /// Which spans are on: pairs, of which it has to win each. A machine whose neighbours take half of it for a moment would
    /// otherwise decide; and a load that grows or falls favours neither.
    private static let turns = [true, false, false, true, true, false]
    /// How long answers are counted in each.
    static let span = TimeAmount.seconds(1)
    /// Before the next one, where the load has gone.
    static let pause = TimeAmount.seconds(10)
    /// How long one may last in all, before the load is not what it was.
    static let patience = TimeAmount.seconds(60)
    /// How long a result holds.
    static let validity = TimeAmount.minutes(5)
    /// By how much it must win to be worth it.
    static let gain = 1.1
    /// Spans with fewer answers say nothing.
    static let fewest = 20

    private struct Span: Equatable {
        let since: NIODeadline
        /// When the first answer came to a request that was sent in it.
        var start: NIODeadline?
        var count = 0
        /// Answers a second, once it is over.
        var rate = 0.0
    }

    private enum Phase: Equatable {
        case decided(isOn: Bool, until: NIODeadline)
        case trying([Span])
    }

    private var phase = Phase.decided(isOn: false, until: .uptimeNanoseconds(0))

    /// Whether requests are joined now.
    var isOn: Bool {
        switch phase {
        case .decided(let isOn, _): isOn
        case .trying(let spans): Self.turns[spans.count - 1]
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
            if isWaiting, now >= until { phase = .trying([Span(since: now)]) }
        case .trying(var spans):
            var span = spans.removeLast()
            guard now - span.since < Self.patience else {
                phase = .decided(isOn: false, until: now + Self.validity)
                return
            }
            guard sent >= span.since else { return }
            // Joined, all of them may have their places: only where they are not does an empty queue mean anything.
            guard isWaiting || isOn else {
                // The load has gone: what was counted cannot be compared.
                phase = .decided(isOn: false, until: now + Self.pause)
                return
            }
            let start = span.start ?? now
            span.start = start
            guard now - start >= Self.span else {
                span.count += 1
                phase = .trying(spans + [span])
                return
            }
            // From the first answer on, with it, to this one, without it: as many as there are pauses between them.
            span.rate = Double(span.count) / (Double((now - start).nanoseconds) / 1e9)
            spans.append(span)
            if spans.count < Self.turns.count {
                phase = .trying(spans + [Span(since: now)])
            } else {
                phase = .decided(isOn: Self.wins(spans), until: now + Self.validity)
            }
        }
    }

    /// What joins cannot be divided again: it is off for a while.
    mutating func giveUp() {
        phase = .decided(isOn: false, until: .now() + Self.validity)
    }

    private static func wins(_ spans: [Span]) -> Bool {
        spans.allSatisfy { $0.count >= fewest }
            && stride(from: 0, to: spans.count, by: 2).allSatisfy { first in
                let (on, off) = turns[first] ? (first, first + 1) : (first + 1, first)
                return spans[on].rate >= gain * spans[off].rate
            }
    }
}
