import Synchronization

/// A key and what was taken of its limits, in this gateway.
///
/// Minutes are sliding windows: what counts is this minute's, and of the minute before the part that lies less than
/// sixty seconds back.
final class KeyState: Sendable {
    /// What a request took in advance.
    struct Reservation: Sendable {
        let tokens: Int
        let cost: Int64
        let minute: Int
    }

    private struct Window {
        var minute = 0
        var requests = 0
        var tokens = 0
        var earlierRequests = 0
        var earlierTokens = 0

        mutating func advance(to now: Int) {
            guard now != minute else { return }
            let isNext = now == minute + 1
            (earlierRequests, earlierTokens) = isNext ? (requests, tokens) : (0, 0)
            (minute, requests, tokens) = (now, 0, 0)
        }
    }

    private struct State {
        var key: APIKey
        var window = Window()
        var inFlight = 0
        /// Spent since the ledger was asked, reservations included.
        var spent: Int64 = 0
    }

    /// Its number in the ledger.
    let id: Int
    private let state: Mutex<State>

    init(_ key: APIKey) {
        id = key.id
        state = Mutex(State(key: key))
    }

    var key: APIKey { state.withLock { $0.key } }

    /// Takes over what the ledger says now.
    func update(_ key: APIKey) {
        state.withLock { state in
            if key.monthlySpent != state.key.monthlySpent { state.spent = 0 }
            state.key = key
        }
    }

    /// Checks all limits and takes what the request will need.
    /// - Parameters:
    ///   - tokens: the prompt's and the answer's, estimated.
    ///   - cost: of these, in millionths.
    ///   - now: seconds since 1970.
    func reserve(
        model: String, tokens: Int, cost: Int64, now: Double
    ) throws(GatewayError) -> (reservation: Reservation, priority: Int) {
        let result: Result<(Reservation, Int), GatewayError> = state.withLock { state in
            if let error = Self.refusal(&state, model: model, tokens: tokens, cost: cost, now: now) {
                return .failure(error)
            }
            state.window.requests += 1
            state.window.tokens += tokens
            state.inFlight += 1
            state.spent += cost
            return .success(
                (Reservation(tokens: tokens, cost: cost, minute: state.window.minute), state.key.priority))
        }
        let (reservation, priority) = try result.get()
        return (reservation, priority)
    }

    /// Ends a request: what was taken in advance gives way to what it really took.
    func settle(_ reservation: Reservation, tokens: Int, cost: Int64) {
        state.withLock { state in
            state.inFlight -= 1
            state.spent += cost - reservation.cost
            let difference = tokens - reservation.tokens
            if state.window.minute == reservation.minute {
                state.window.tokens += difference
            } else if state.window.minute == reservation.minute + 1 {
                state.window.earlierTokens += difference
            }
        }
    }

    private static func refusal(
        _ state: inout State, model: String, tokens: Int, cost: Int64, now: Double
    ) -> GatewayError? {
        let key = state.key
        if let expires = key.expires, now >= expires { return .unknownKey }
        if !key.models.isEmpty, !key.models.contains(model) {
            return GatewayError(
                403, type: "permission_error", code: "model_not_allowed", parameter: "model",
                "this key may not ask the model '\(model)'; it may ask \(key.models.joined(separator: ", "))")
        }
        if let limit = key.concurrent, state.inFlight >= limit {
            return .limited(
                code: "concurrency_limit", retryAfter: 1,
                "this key has \(state.inFlight) requests running, as many as it may")
        }
        let minute = Int(now / 60)
        state.window.advance(to: minute)
        let second = Int(now) - minute * 60
        // The part of the minute before that still counts.
        let weight = 60 - second
        if let limit = key.requestsPerMinute {
            let used = state.window.requests + state.window.earlierRequests * weight / 60
            if used >= limit {
                return .limited(
                    code: "requests_per_minute", retryAfter: max(1, 60 - second),
                    "this key has sent \(used) requests within a minute and may send \(limit)")
            }
        }
        if let limit = key.tokensPerMinute {
            let used = state.window.tokens + state.window.earlierTokens * weight / 60
            if used + tokens > limit {
                return .limited(
                    code: "tokens_per_minute", retryAfter: max(1, 60 - second),
                    "this key has used or reserved \(used) tokens within a minute, this request may need \(tokens), "
                        + "and \(limit) are allowed")
            }
        }
        if let budget = key.monthlyBudget, key.monthlySpent + state.spent + cost > budget {
            return GatewayError(
                429, type: "insufficient_quota", code: "monthly_budget",
                "this key's budget of the month is used up; it can be raised with martlet key")
        }
        return nil
    }
}
