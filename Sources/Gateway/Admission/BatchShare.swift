import NIOCore

/// How many requests of batches a replica gets while others run there: as many as the others do not notice. Pure.
///
/// By turns of ten seconds batches run beside the others and do not; what an answer's token takes in the one and the other is
/// compared. What engines of all sizes bear is so different that no fixed part would do: a GPU has room for hundreds, on two
/// cores one at a time is felt, and less than one is one with a rest after it.
struct BatchShare: Equatable, Sendable {
    fileprivate struct Sum: Equatable {
        var seconds = 0.0
        var tokens = 0
        var count = 0
    }

    static let turn = TimeAmount.seconds(10)
    /// How much slower a token may get.
    static let tolerance = 1.05
    /// Answers in each turn below which nothing is concluded.
    static let fewest = 5
    /// From one in eight of the time on.
    private static let lowest = -3
    private static let shortestRest = TimeAmount.minutes(2)
    private static let longestRest = TimeAmount.minutes(30)

    /// A power of two: so many at the same time; below 0, one for that part of the time.
    private(set) var level = -2
    private var beside = Sum()
    private var alone = Sum()
    private var pair: UInt64 = 0
    private var restsUntil = NIODeadline.uptimeNanoseconds(0)
    private var rest = BatchShare.shortestRest

    /// At the same time.
    var limit: Int { level > 0 ? 1 << level : 1 }

    /// How many that began while nobody else was there may stay when somebody comes.
    var leeway: Int { level < 0 ? 0 : limit }

    /// How long nothing may begin after a request that took so long.
    func pause(after time: TimeAmount) -> TimeAmount {
        level < 0 ? .nanoseconds(time.nanoseconds * ((1 << -level) - 1)) : .zero
    }

    /// Whether batches have their turn.
    func isOn(_ now: NIODeadline) -> Bool { now >= restsUntil && Self.index(now) % 2 == 1 }

    /// An answer of somebody else has ended.
    /// - Parameter most: what the limit may grow to.
    mutating func served(from start: NIODeadline, to end: NIODeadline, tokens: Int, most: Int) {
        conclude(end, most: most)
        // One that reaches into both says nothing of either.
        guard tokens > 0, Self.index(start) == Self.index(end), end >= restsUntil else { return }
        let seconds = Double((end - start).nanoseconds) / 1e9
        if Self.index(end) % 2 == 1 { beside.add(seconds, tokens) } else { alone.add(seconds, tokens) }
    }

    /// At the end of two turns.
    private mutating func conclude(_ now: NIODeadline, most: Int) {
        let current = Self.index(now) / 2
        guard current != pair else { return }
        pair = current
        defer { (beside, alone) = (Sum(), Sum()) }
        guard beside.count >= Self.fewest, alone.count >= Self.fewest else { return }
        if beside.perToken <= Self.tolerance * alone.perToken {
            if limit < most || level < 0 { level += 1 }
            rest = Self.shortestRest
        } else if level > Self.lowest {
            level -= 1
        } else {
            // Not even that: only so seldom that it does not show.
            restsUntil = now + rest
            rest = min(.nanoseconds(rest.nanoseconds * 2), Self.longestRest)
        }
    }

    private static func index(_ now: NIODeadline) -> UInt64 { now.uptimeNanoseconds / UInt64(turn.nanoseconds) }
}

extension BatchShare.Sum {
    fileprivate mutating func add(_ seconds: Double, _ tokens: Int) {
        self.seconds += seconds
        self.tokens += tokens
        count += 1
    }

    fileprivate var perToken: Double { seconds / Double(max(1, tokens)) }
}
