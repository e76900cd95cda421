import Pipeline
import Synchronization

/// A key and what was taken of its limits, by this gateway and as far as it knows by the others.
///
/// Minutes are sliding windows: what counts is this minute's, and of the minute before the part that lies less than
/// sixty seconds back.
final class KeyState: Sendable {
    /// What a request took in advance.
    struct Reservation: Sendable {
        let tokens: Int
        let cost: Int64
        let minute: Int
        /// Whether only money was taken: a batch has no limits by the minute.
        let isBatch: Bool
    }

    /// Requests and tokens.
    struct Amount: Equatable, Sendable {
        var requests = 0
        var tokens = 0

        var positive: Amount { Amount(requests: max(0, requests), tokens: max(0, tokens)) }

        static func + (left: Amount, right: Amount) -> Amount {
            Amount(requests: left.requests + right.requests, tokens: left.tokens + right.tokens)
        }

        static func - (left: Amount, right: Amount) -> Amount {
            Amount(requests: left.requests - right.requests, tokens: left.tokens - right.tokens)
        }
    }

    /// What this gateway has to tell the others, and has not.
    struct Report: Equatable, Sendable {
        let minute: Int
        let current: Amount
        /// Of the minute before: what came too late to be told in time.
        let earlier: Amount
        let inFlight: Int
    }

    /// One minute and the one before.
    fileprivate struct Window {
        var minute = 0
        var current = Amount()
        var earlier = Amount()

        mutating func advance(to now: Int) {
            // Somebody may have looked at the clock before another one did.
            guard now != minute, now != minute - 1 else { return }
            earlier = now == minute + 1 ? current : Amount()
            current = Amount()
            minute = now
        }
    }

    fileprivate struct State {
        var key: APIKey
        var own = Window()
        /// Of `own`, what the others know.
        var told = Window()
        /// What the other gateways took.
        var others = Window()
        var othersInFlight = 0
        var inFlight = 0
        /// Spent since the ledger was asked, reservations included.
        var spent: Int64 = 0
        /// Of `spent`, what requests under way may take.
        var reserved: Int64 = 0
        /// Of `spent`, what is in the ledger now and in its next answer.
        var confirmed: Int64 = 0
        var awaited: Int64 = 0
        /// The last minute in which anything happened.
        var lastMinute = 0
    }

    /// Its number in the ledger.
    let id: Int
    private let state: Mutex<State>

    init(_ key: APIKey) {
        id = key.id
        state = Mutex(State(key: key))
    }

    var key: APIKey { state.withLock { $0.key } }

    /// When it ends, in seconds since 1970; nil for never.
    var expires: Double? { state.withLock { $0.key.limits.expires?.seconds } }

    // MARK: Requests

    /// Checks all limits and takes what the request will need.
    /// - Parameters:
    ///   - tokens: the prompt's and the answer's, estimated.
    ///   - cost: of these, in millionths.
    ///   - now: seconds since 1970.
    ///   - isShared: whether the other gateways' share is known.
    ///   - isBatch: whether it is a batch's, which runs on spare capacity: only the budget, the models and the end count.
    func reserve(
        model: String, tokens: Int, cost: Int64, now: Double, isShared: Bool, isBatch: Bool = false
    ) throws(GatewayError) -> (reservation: Reservation, priority: Int) {
        let result: Result<(Reservation, Int), GatewayError> = state.withLock { state in
            let minute = Int(now / 60)
            state.advance(to: minute)
            state.lastMinute = minute
            if let error = state.refusal(
                model: model, tokens: tokens, cost: cost, now: now, isShared: isShared, isBatch: isBatch)
            {
                return .failure(error)
            }
            let reservation = Reservation(tokens: tokens, cost: cost, minute: state.own.minute, isBatch: isBatch)
            state.spent += cost
            state.reserved += cost
            guard !isBatch else { return .success((reservation, state.key.limits.priority)) }
            state.own.current = state.own.current + Amount(requests: 1, tokens: tokens)
            state.inFlight += 1
            return .success((reservation, state.key.limits.priority))
        }
        let (reservation, priority) = try result.get()
        return (reservation, priority)
    }

    /// Whether the key may ask a model, where nothing is counted.
    func check(model: String) throws(GatewayError) {
        if let error = state.withLock({ $0.refusal(ofModel: model) }) { throw error }
    }

    /// Ends a request: what was taken in advance gives way to what it really took.
    func settle(_ reservation: Reservation, tokens: Int, cost: Int64) {
        state.withLock { state in
            state.spent += cost - reservation.cost
            state.reserved -= reservation.cost
            guard !reservation.isBatch else { return }
            state.inFlight -= 1
            let difference = Amount(requests: 0, tokens: tokens - reservation.tokens)
            if state.own.minute == reservation.minute {
                state.own.current = state.own.current + difference
            } else if state.own.minute == reservation.minute + 1 {
                state.own.earlier = state.own.earlier + difference
            }
        }
    }

    // MARK: The other gateways

    /// What is to be told; nil when nothing happened for a while.
    /// - Parameter now: seconds since 1970.
    func report(now: Double) -> Report? {
        state.withLock { state in
            let minute = Int(now / 60)
            state.advance(to: minute)
            let limits = state.key.limits
            let isLimited =
                limits.requestsPerMinute != nil || limits.tokensPerMinute != nil || limits.concurrent != nil
            guard isLimited, state.inFlight > 0 || minute - state.lastMinute <= 2 else { return nil }
            return Report(
                minute: minute, current: state.own.current - state.told.current,
                earlier: state.own.earlier - state.told.earlier, inFlight: state.inFlight)
        }
    }

    /// Takes the sums of all gateways, this one's report included.
    func take(_ report: Report, current: Amount, earlier: Amount, inFlight: Int) {
        state.withLock { state in
            state.told.advance(to: state.own.minute)
            if state.told.minute == report.minute {
                state.told.current = state.told.current + report.current
                state.told.earlier = state.told.earlier + report.earlier
                state.others.minute = report.minute
                // Below zero where Redis has forgotten what was told.
                state.others.current = (current - state.told.current).positive
                state.others.earlier = (earlier - state.told.earlier).positive
            } else if state.told.minute == report.minute + 1 {
                state.told.earlier = state.told.earlier + report.current
                state.others.minute = report.minute + 1
                state.others.earlier = (current - state.told.earlier).positive
                state.others.current = Amount()
            }
            state.othersInFlight = max(0, inFlight - report.inFlight)
        }
    }

    /// Nobody tells any more what the others take.
    func forgetOthers() {
        state.withLock { state in
            state.others = Window()
            state.othersInFlight = 0
        }
    }

    // MARK: The ledger

    /// The ledger is about to be asked: what it has now will be in its answer.
    func expectUpdate() {
        state.withLock { state in state.awaited = state.confirmed }
    }

    /// Takes over what the ledger said.
    func update(_ key: APIKey) {
        state.withLock { state in
            state.spent -= state.awaited
            state.confirmed -= state.awaited
            state.awaited = 0
            state.key = key
        }
    }

    /// The ledger has so much more of what this key spent.
    func confirm(cost: Int64) {
        state.withLock { state in state.confirmed += cost }
    }
}

extension KeyState.State {
    fileprivate mutating func advance(to minute: Int) {
        own.advance(to: minute)
        told.advance(to: minute)
        others.advance(to: minute)
    }

    fileprivate func refusal(
        model: String, tokens: Int, cost: Int64, now: Double, isShared: Bool, isBatch: Bool
    ) -> GatewayError? {
        let limits = key.limits
        if let expires = limits.expires, now >= expires.seconds { return .unknownKey }
        if let error = refusal(ofModel: model) { return error }
        return (isBatch ? nil : refusal(tokens: tokens, now: now, isShared: isShared)) ?? refusal(cost: cost)
    }

    private func refusal(cost: Int64) -> GatewayError? {
        guard let budget = key.limits.monthlyBudget, key.monthlySpent + spent + cost > budget else { return nil }
        // Most of them take less than they may.
        guard key.monthlySpent + spent - reserved + cost > budget else {
            return .limited(
                code: "budget_reserved", retryAfter: 1,
                "what requests of this key that are under way may cost is all that is left of its budget of the month")
        }
        return GatewayError(
            429, type: "insufficient_quota", code: "monthly_budget",
            "this key's budget of the month is used up; it can be raised with martlet key")
    }

    /// What the limits by the minute and of running requests refuse.
    private func refusal(tokens: Int, now: Double, isShared: Bool) -> GatewayError? {
        let limits = key.limits
        if !isShared, limits.onFailure == .closed {
            return .unavailable(
                code: "limits_unavailable", retryAfter: 5,
                "this key's limits cannot be checked at present, and it is set to be refused then")
        }
        let running = inFlight + othersInFlight
        if let limit = limits.concurrent, running >= limit {
            return .limited(
                code: "concurrent_requests", retryAfter: 1,
                "this key has \(running) requests running, as many as it may")
        }
        let second = Int(now) - own.minute * 60
        // The part of the minute before that still counts.
        let weight = 60 - second
        let (current, earlier) = (own.current + others.current, own.earlier + others.earlier)
        if let limit = limits.requestsPerMinute {
            let used = current.requests + earlier.requests * weight / 60
            if used >= limit {
                return .limited(
                    code: "requests_per_minute",
                    retryAfter: Self.wait(used + 1 - limit, current.requests, earlier.requests, second),
                    "this key has sent \(used) requests within a minute and may send \(limit)")
            }
        }
        if let limit = limits.tokensPerMinute {
            let used = current.tokens + earlier.tokens * weight / 60
            if used + tokens > limit {
                return .limited(
                    code: "tokens_per_minute",
                    retryAfter: Self.wait(used + tokens - limit, current.tokens, earlier.tokens, second),
                    "this key has used or reserved \(used) tokens within a minute, this request may need \(tokens), "
                        + "and \(limit) are allowed")
            }
        }
        return nil
    }

    fileprivate func refusal(ofModel model: String) -> GatewayError? {
        let models = key.limits.models
        guard !models.isEmpty, !models.contains(model) else { return nil }
        return GatewayError(
            403, type: "permission_error", code: "model_not_allowed", parameter: "model",
            "this key may not ask the model '\(model)'; it may ask \(models.joined(separator: ", "))")
    }

    /// Seconds until so much of the window has passed out of it.
    private static func wait(_ excess: Int, _ current: Int, _ earlier: Int, _ second: Int) -> Int {
        // In the rest of this minute `earlier` goes, evenly; in the next one `current`.
        if earlier > 0, excess * 60 <= earlier * (60 - second) { return max(1, (excess * 60 + earlier - 1) / earlier) }
        let left = excess - earlier * (60 - second) / 60
        guard current > 0 else { return 60 - second }
        return min(120, 60 - second + max(1, left * 60 / current))
    }
}
