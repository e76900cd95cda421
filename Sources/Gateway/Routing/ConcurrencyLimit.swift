/// How many requests a replica is sent at the same time: grows by little while it keeps up, shrinks by a part when it
/// does not (additive increase, multiplicative decrease). Pure.
struct ConcurrencyLimit: Equatable, Sendable {
    /// What the model server says of itself.
    struct Load: Equatable, Sendable {
        /// Requests that it has and does not work on.
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

    /// The cache is as good as full.
    static let cacheLimit = 0.95
    private static let floor = 1
    private static let decrease = 0.7

    init(ceiling: Int) {
        self.ceiling = ceiling
        value = ceiling
    }

    /// - Parameter inFlight: what it has at the moment: a limit that is not reached says nothing of what it could do.
    mutating func update(_ load: Load, inFlight: Int) {
        let isPreempting = preemptions.map { load.preemptions > $0 } ?? false
        preemptions = load.preemptions
        // What waits beyond a few at the model server would better wait here, in fair order.
        if load.waiting > max(1, Double(value) / 8) || load.cache > Self.cacheLimit || isPreempting {
            value = max(Self.floor, min(Int(Double(min(value, max(inFlight, 1))) * Self.decrease), value - 1))
        } else if inFlight * 10 >= value * 9 {
            value = min(ceiling, value + max(1, value / 16))
        }
    }
}
