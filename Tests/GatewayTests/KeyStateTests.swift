import Pipeline
import Testing

@testable import Gateway

@Suite struct KeyStateTests {
    private static func key(_ change: (inout APIKey.Limits) -> Void) -> KeyState {
        var key = APIKey(id: 1, name: "k", team: "t", digest: [])
        change(&key.limits)
        return KeyState(key)
    }

    /// What happens to a request, as a status; nil when it passes.
    private static func ask(_ state: KeyState, tokens: Int = 1, cost: Int64 = 0, at now: Double) -> GatewayError? {
        do {
            _ = try state.reserve(model: "m", tokens: tokens, cost: cost, now: now, isShared: true)
            return nil
        } catch { return error }
    }

    @Test func aMinuteSlides() {
        let state = Self.key { $0.requestsPerMinute = 60 }
        for _ in 0..<60 { #expect(Self.ask(state, at: 30) == nil) }
        #expect(Self.ask(state, at: 59)?.code == "requests_per_minute")
        // Half of the minute before still counts.
        #expect(Self.ask(state, at: 60 + 30.0) == nil)
        for _ in 0..<29 { #expect(Self.ask(state, at: 90) == nil) }
        let refused = Self.ask(state, at: 90)
        // One of the sixty leaves the window each second.
        #expect(refused?.status == 429 && refused?.retryAfter == 1)
        #expect(Self.ask(state, at: 91) == nil)
        for _ in 0..<60 { #expect(Self.ask(state, at: 600) == nil) }
    }

    @Test func theTimeToComeBackIsTrue() throws {
        let state = Self.key { $0.tokensPerMinute = 100 }
        #expect(Self.ask(state, tokens: 80, at: 10) == nil)
        let seconds = try #require(Self.ask(state, tokens: 60, at: 30)?.retryAfter)
        #expect(Self.ask(state, tokens: 60, at: 30 + Double(seconds)) == nil)
    }

    @Test func whatIsReservedGivesWayToWhatWasUsed() throws {
        let state = Self.key {
            $0.tokensPerMinute = 100
            $0.concurrent = 1
        }
        let taken = try state.reserve(model: "m", tokens: 90, cost: 0, now: 5, isShared: true)
        #expect(Self.ask(state, at: 5)?.code == "concurrent_requests")
        state.settle(taken.reservation, tokens: 10, cost: 0)
        #expect(Self.ask(state, tokens: 90, at: 6) == nil)
        #expect(Self.ask(state, tokens: 1, at: 6) != nil)
    }

    @Test func aBudgetCountsWhatTheLedgerDoesNotHaveYet() throws {
        let state = Self.key { $0.monthlyBudget = 100 }
        let taken = try state.reserve(model: "m", tokens: 1, cost: 60, now: 0, isShared: true)
        // What it may take is no money spent: that there is none left is not known yet.
        let refused = Self.ask(state, cost: 60, at: 0)
        #expect(
            refused?.code == "budget_reserved" && refused?.type == "rate_limit_exceeded" && refused?.retryAfter == 1)
        #expect(Self.ask(state, cost: 101, at: 0)?.code == "monthly_budget")
        state.settle(taken.reservation, tokens: 1, cost: 30)
        #expect(Self.ask(state, cost: 71, at: 0)?.code == "monthly_budget")
        // The ledger gets the 30, and says so only when it is asked the next time.
        state.confirm(cost: 30)
        state.expectUpdate()
        state.confirm(cost: 5)
        var key = state.key
        key.monthlySpent = 30
        state.update(key)
        #expect(Self.ask(state, cost: 71, at: 0) != nil)
        #expect(Self.ask(state, cost: 65, at: 0) == nil)
    }

    @Test func theOthersShareCounts() throws {
        let state = Self.key { $0.requestsPerMinute = 10 }
        for _ in 0..<4 { #expect(Self.ask(state, at: 1) == nil) }
        let report = try #require(state.report(now: 1))
        #expect(report.current == KeyState.Amount(requests: 4, tokens: 4))
        state.take(report, current: KeyState.Amount(requests: 9, tokens: 9), earlier: KeyState.Amount(), inFlight: 6)
        #expect(Self.ask(state, at: 1) == nil)
        #expect(Self.ask(state, at: 1)?.code == "requests_per_minute")
        // What was told is not told again.
        #expect(state.report(now: 1)?.current == KeyState.Amount(requests: 1, tokens: 1))
        // A minute later the minute's sums are the earlier ones.
        let next = try #require(state.report(now: 61))
        #expect(next.current == KeyState.Amount() && next.earlier == KeyState.Amount(requests: 1, tokens: 1))
        state.forgetOthers()
        #expect(Self.ask(state, at: 61) == nil)
    }

    /// Two threads look at the clock, and the one that was first comes second.
    @Test func aLateLookAtTheClockForgetsNothing() throws {
        let state = Self.key { $0.requestsPerMinute = 10 }
        for _ in 0..<5 { #expect(Self.ask(state, at: 59) == nil) }
        #expect(Self.ask(state, at: 60.001) == nil)
        #expect(Self.ask(state, at: 59.999) == nil)
        #expect(state.report(now: 60.5)?.current == KeyState.Amount(requests: 2, tokens: 2))
        #expect(state.report(now: 60.5)?.earlier == KeyState.Amount(requests: 5, tokens: 5))
        // A clock that was set back is another matter.
        for _ in 0..<10 { #expect(Self.ask(state, at: -600) == nil) }
        #expect(Self.ask(state, at: -600)?.code == "requests_per_minute")
    }

    @Test func aReportThatIsAnsweredInTheNextMinuteIsNotLost() throws {
        let state = Self.key { $0.requestsPerMinute = 10 }
        for _ in 0..<5 { #expect(Self.ask(state, at: 59) == nil) }
        let report = try #require(state.report(now: 59))
        #expect(Self.ask(state, at: 60) == nil)
        state.take(report, current: KeyState.Amount(requests: 8, tokens: 8), earlier: KeyState.Amount(), inFlight: 0)
        #expect(state.report(now: 60)?.earlier == KeyState.Amount())
        #expect(state.report(now: 60)?.current == KeyState.Amount(requests: 1, tokens: 1))
    }
}
