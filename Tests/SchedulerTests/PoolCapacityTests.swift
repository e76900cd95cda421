import Testing

@testable import Scheduler

/// When a task may be sent without asking the ledger what else waits.
@Suite struct PoolCapacityTests {
    @Test func nothingIsGrantedBeforeARoundHasCounted() {
        let capacity = PoolCapacity()
        #expect(!capacity.grant("p"))
        capacity.give(back: 5, to: "p", atMost: 8)
        #expect(!capacity.grant("p"))
    }

    @Test func creditIsTakenAndGivenBackWithinTheWindow() {
        let capacity = PoolCapacity()
        capacity.setCredit(2, of: "p")
        #expect(capacity.grant("p") && capacity.hasCredit("p"))
        capacity.give(back: 9, to: "p", atMost: 3)
        #expect((0..<4).map { _ in capacity.grant("p") } == [true, true, true, false])
        #expect(!capacity.grant("q"))
    }

    /// What ends while tasks wait makes room for those, not for one that has just become ready.
    @Test func whereTasksWaitNothingOvertakes() {
        let capacity = PoolCapacity()
        capacity.setCredit(4, of: "p")
        capacity.setCredit(0, of: "p")
        capacity.give(back: 4, to: "p", atMost: 8)
        #expect(!capacity.grant("p"))
    }

    @Test func aFailedTransactionGivesItsCreditsBack() {
        let capacity = PoolCapacity()
        capacity.setCredit(3, of: "p")
        let grants = Grants(capacity)
        #expect(grants.grant("p") && grants.grant("p"))
        grants.revoke { _ in 8 }
        #expect((0..<4).map { _ in capacity.grant("p") } == [true, true, true, false])
    }
}
