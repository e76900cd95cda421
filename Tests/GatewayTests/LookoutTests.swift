import Testing

@testable import Gateway

/// When the event loop looks for what comes next instead of sleeping.
@Suite struct LookoutTests {
    /// Of so many events, how many it looks after, if it finds nothing.
    private static func looks(_ policy: inout LookoutPolicy, events: Int) -> Int {
        (0..<events).count { _ in
            guard policy.tries() else { return false }
            policy.missed()
            return true
        }
    }

    @Test func inVainEverMoreSeldom() {
        var policy = LookoutPolicy()
        #expect(Self.looks(&policy, events: LookoutPolicy.patience) == LookoutPolicy.patience)
        let first = Self.looks(&policy, events: 1_000)
        #expect((5...10).contains(first))
        // It goes on, after every thousandth event.
        let later = Self.looks(&policy, events: 100_000)
        #expect((90...100).contains(later))
    }

    @Test func afterSomethingWasFoundEachTime() {
        var policy = LookoutPolicy()
        _ = Self.looks(&policy, events: 10_000)
        policy.found()
        for _ in 0..<100 {
            let tries = policy.tries()
            #expect(tries)
            policy.found()
        }
    }
}
