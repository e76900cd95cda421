/// How many requests a replica is sent at the same time: grows by little while it keeps up, shrinks by a part when it
/// does not (additive increase, multiplicative decrease). Pure.
struct ConcurrencyLimit: Equatable, Sendable {
    /// What the model server says of itself.
    struct Load: Equatable, Sendable {
        /// Requests that it works on, and those that it has beside them.
        var running: Double
        var waiting: Double
        /// The part of its key-value cache that is in use, from 0 to 1.
        var cache: Double
        /// Requests that it has put aside for lack of cache since it started.
        var preemptions: Double
    }

    /// As configured: the most it gets.
    let ceiling: Int
    private(set) var value: Int
    private var preemptions: Double?
    /// What waited at the last looks, without a break in which others alone could be why.
    private var waited: [Double] = []
    private var lastInFlight = 0

    /// The cache is as good as full.
    static let cacheLimit = 0.95
    /// Looks, a second apart, over which something must have waited all the time. Requests that come together wait together
    /// for a moment, and are then worked on together: that is how an engine is fast.
    static let looks = 5
    /// Half of the limit may stand there, as many as the engine works on: where all these end at once, as many others have to be
    /// there. With a third, vLLM did 0.96 of what it does with all of 256 short requests that end together.
    private static let behind = 2.0
    private static let floor = 1
    /// Where it has so many times as much in hand as it was sent from here, nothing here can help it.
    private static let others = 16.0
    private static let decrease = 0.7

    init(ceiling: Int) {
        self.ceiling = ceiling
        value = ceiling
    }

    /// - Parameters:
    ///   - inFlight: what it was sent from here and has not answered: a limit that is not reached says nothing of what it could
    ///     do.
    ///   - answers: how many that is as it counts them, one for each answer to each prompt.
    mutating func update(_ load: Load, inFlight: Int, answers: Int) {
        let isPreempting = preemptions.map { load.preemptions > $0 } ?? false
        preemptions = load.preemptions
        // Where it is others who ask too much, what would be given up here had to be won back by little.
        let isOurs = answers > 0 && Double(answers) * Self.others >= load.running + load.waiting
        waited = isOurs ? waited.suffix(Self.looks - 1) + [load.waiting] : []
        // What it has in hand may have been answered since it was full.
        let most = max(inFlight, lastInFlight)
        lastInFlight = inFlight
        // What never leaves the model server's queue would better wait here, in fair order.
        let standing = waited.count == Self.looks ? waited.min() ?? 0 : 0
        let few = max(1, Double(value) / Self.behind)
        if standing > few || load.cache > Self.cacheLimit || isPreempting {
            waited = []
            // Until what was sent before the last time has ended, that has changed nothing yet.
            guard isOurs, inFlight <= value else { return }
            let had = Double(min(value, most))
            // What is too much goes and no more. Where the cache is full it is not known how much that is.
            let isStanding = load.cache <= Self.cacheLimit && !isPreempting
            let left = isStanding ? max(had * Self.decrease, had - (standing - few)) : had * Self.decrease
            value = max(Self.floor, min(Int(left), value - 1))
        } else if load.waiting <= few, inFlight * 10 >= value * 9 {
            // Fast where the engine has plainly nothing to do: whoever crowded it out has gone.
            let isIdle = load.waiting == 0 && load.cache < Self.cacheLimit / 2
            value = min(ceiling, value + max(1, value / (isIdle ? 2 : 16)))
        }
    }
}
