import NIOCore

/// How many requests of batches a replica gets while others run there: as many as the others do not notice.
///
/// By turns of ten seconds batches run beside the others and do not; what an answer's token takes in the one and the other is
/// compared. What engines of all sizes bear is so different that no fixed part would do: a GPU has room for hundreds, on two
/// cores one at a time is felt, and less than one is one with a rest after it.
struct BatchShare: Sendable {
    /// What tokens took in the answers of a turn, in seconds.
    fileprivate struct Times {
        private(set) var perToken: [Double] = []
        private var count = 0

        /// Adds so many of others', chosen at random.
        mutating func add(_ number: Int, of others: Times, _ random: inout WordGenerator) {
            perToken += others.perToken.shuffled(using: &random).prefix(number)
        }

        /// Of many, some at random.
        mutating func add(_ seconds: Double, _ random: inout WordGenerator) {
            count += 1
            if perToken.count < BatchShare.most {
                perToken.append(seconds)
            } else if case let place = Int.random(in: 0..<count, using: &random), place < perToken.count {
                perToken[place] = seconds
            }
        }
    }

    /// How much slower tokens may get: on average, and in the tenth of the answers that are the slowest.
    private struct Slowdown {
        var average: Double
        var slow: Double

        func isWithin(_ other: Slowdown) -> Bool { average <= other.average && slow <= other.slow }

        func isBeyond(_ other: Slowdown) -> Bool { average > other.average && slow > other.slow }
    }

    static let turn = TimeAmount.seconds(10)
    /// As long as it is no more than that, batches get twice as much.
    private static let unnoticed = Slowdown(average: 1.02, slow: 1.04)
    /// Where it is more than that, half as much.
    private static let tolerable = Slowdown(average: 1.04, slow: 1.07)
    /// So much is plain from a few answers.
    private static let gross = Slowdown(average: 1.08, slow: 1.14)
    /// Answers of a turn that are enough to see that the other turn has hardly any.
    static let fewest = 5
    /// Answers with and without batches below which nothing is concluded, and below which nothing but what is plain: of ten
    /// the slow tenth is one answer, and chance. What turns lack those after them add, for so many pairs of turns.
    static let few = 10
    static let enough = 20
    private static let memory: UInt64 = 30
    /// Pairs of turns after which batches get half as much if nothing was seen in them.
    private static let blindLimit = 3
    /// Answers that are remembered of a turn.
    fileprivate static let most = 1_000
    /// From one in eight of the time on.
    private static let lowest = -3
    private static let shortestRest = TimeAmount.minutes(2)
    private static let longestRest = TimeAmount.minutes(30)

    /// A power of two: so many at the same time; below 0, one for that part of the time.
    private(set) var level = -2
    private var beside = Times()
    private var alone = Times()
    /// Of the turns before, from which nothing was concluded yet: as many of the one kind as of the other of each pair, so
    /// that it does not matter that all are slower in one pair than in another.
    private var seen = (since: UInt64(0), beside: Times(), alone: Times())
    private var pair: UInt64 = 0
    /// Pairs of turns, one after another, without any of the others alone.
    private var blind = 0
    /// Whether a batch ran in these two turns.
    private var hasRun = false
    private var restsUntil = NIODeadline.uptimeNanoseconds(0)
    private var rest = BatchShare.shortestRest
    private var random = WordGenerator()

    /// Requests of batches at the same time beside others, on average.
    var value: Double { level < 0 ? 1 / Double(1 << -level) : Double(1 << level) }

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

    /// A batch's request begins beside others.
    mutating func began(_ now: NIODeadline) { if Self.index(now) / 2 == pair { hasRun = true } }

    /// An answer of somebody else has ended.
    /// - Parameters:
    ///   - isAlone: whether no batch runs that would not run in both turns.
    ///   - isBeside: whether one runs beside it.
    ///   - most: what the limit may grow to.
    mutating func served(
        from start: NIODeadline, to end: NIODeadline, tokens: Int, isAlone: Bool, isBeside: Bool, most: Int
    ) {
        conclude(end, most: most)
        hasRun = hasRun || isBeside
        // One that reaches into both says nothing of either.
        guard tokens > 0, Self.index(start) == Self.index(end), end >= restsUntil else { return }
        let perToken = Double((end - start).nanoseconds) / 1e9 / Double(tokens)
        if Self.index(end) % 2 == 1 {
            beside.add(perToken, &random)
        } else if isAlone {
            alone.add(perToken, &random)
        }
    }

    /// At the end of two turns.
    private mutating func conclude(_ now: NIODeadline, most: Int) {
        let current = Self.index(now) / 2
        guard current != pair else { return }
        let last = pair
        pair = current
        defer { (beside, alone, hasRun) = (Times(), Times(), false) }
        if level > 0, limit > most {
            while level > 0, limit > most { change(to: level - 1) }
            return
        }
        guard hasRun else { return }
        let counts = [beside.perToken.count, alone.perToken.count].sorted()
        if counts[1] >= Self.fewest, counts[0] * 4 < counts[1] {
            // Batches reach into the turns of the others, or make answers longer than a turn: nothing shows any more what
            // they take.
            blind += 1
            if blind >= Self.blindLimit, level > (alone.perToken.count < beside.perToken.count ? 0 : Self.lowest) {
                change(to: level - 1)
            }
            return
        }
        blind = 0
        if seen.since + Self.memory < last { seen = (last, Times(), Times()) }
        seen.beside.add(counts[0], of: beside, &random)
        seen.alone.add(counts[0], of: alone, &random)
        let count = seen.beside.perToken.count
        guard count >= Self.few else { return }
        let slowdown = Slowdown(
            average: seen.beside.average / seen.alone.average, slow: seen.beside.slow / seen.alone.slow)
        guard count >= Self.enough || slowdown.isBeyond(Self.gross) else { return }
        change(to: level)
        if slowdown.isWithin(Self.unnoticed) {
            if limit * 2 <= most || level < 0 { change(to: level + 1) }
            rest = Self.shortestRest
        } else if slowdown.isWithin(Self.tolerable) {
            rest = Self.shortestRest
        } else if level > Self.lowest {
            change(to: level - 1)
        } else if slowdown.isBeyond(Self.gross) {
            // Not even that, and plainly: only so seldom that it does not show.
            restsUntil = now + rest
            rest = min(.nanoseconds(rest.nanoseconds * 2), Self.longestRest)
        }
    }

    /// What was seen was seen at another one.
    private mutating func change(to level: Int) {
        self.level = level
        blind = 0
        seen = (pair, Times(), Times())
    }

    private static func index(_ now: NIODeadline) -> UInt64 { now.uptimeNanoseconds / UInt64(turn.nanoseconds) }
}

extension BatchShare.Times {
    fileprivate var average: Double { perToken.reduce(0, +) / Double(max(1, perToken.count)) }

    /// What the slowest tenth of the answers took at least.
    fileprivate var slow: Double {
        guard !perToken.isEmpty else { return 0 }
        return perToken.sorted()[(perToken.count * 9 - 1) / 10]
    }
}
