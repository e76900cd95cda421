import NIOCore

/// What is known of how well a replica answers: a circuit breaker. Pure; moments come from outside.
struct ReplicaHealth: Equatable, Sendable {
    /// What may be sent to it.
    enum Admittance: Equatable, Sendable {
        case open
        /// One request, to see whether it answers again.
        case trial
        case closed
    }

    /// Failures one after another that end its turn.
    static let failureLimit = 3
    /// It rests for so long after the first time, twice as long after each further one.
    static let firstRest = TimeAmount.seconds(1)
    static let longestRest = TimeAmount.seconds(30)

    private var failures = 0
    /// Rests one after another, without a success between them.
    private var rests = 0
    private var restsUntil: NIODeadline?
    private var isTried = false
    /// What the last look at it from outside said.
    private var isDown = false

    func admittance(_ now: NIODeadline) -> Admittance {
        if isDown { return .closed }
        guard let restsUntil else { return .open }
        return now < restsUntil || isTried ? .closed : .trial
    }

    /// Whether a request is under way that shows if it answers again.
    var isBeingTried: Bool { isTried && !isDown }

    /// A request was sent although it rested.
    mutating func tried() { isTried = true }

    mutating func succeeded() {
        failures = 0
        rests = 0
        restsUntil = nil
        isTried = false
    }

    /// It has begun to answer the request of a trial: others need not wait for the answer's end. If that one fails after all,
    /// it rests again at once.
    mutating func answered() {
        failures = Self.failureLimit - 1
        restsUntil = nil
        isTried = false
    }

    /// It could not be reached, broke off, was too late or answered that it is broken.
    mutating func failed(_ now: NIODeadline) {
        // What was sent before it rests and fails now says nothing new.
        if let restsUntil, now < restsUntil { return }
        failures += 1
        guard failures >= Self.failureLimit || isTried else { return }
        var rest = Self.firstRest
        for _ in 0..<min(rests, 16) where rest < Self.longestRest { rest = min(rest * 2, Self.longestRest) }
        rests += 1
        failures = 0
        isTried = false
        restsUntil = now + rest
    }

    /// A request of a trial ended without saying anything of the replica: the client went.
    mutating func leftOpen() { isTried = false }

    /// It was looked at from outside.
    mutating func probed(isUp: Bool) { isDown = !isUp }
}
