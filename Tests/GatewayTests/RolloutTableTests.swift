import Ledger
import Pipeline
import Testing

@testable import Gateway

@Suite struct RolloutTableTests {
    private static func rollout(_ id: String = "r", step: Int, state: RolloutState = .running) -> Rollout {
        Rollout(
            id: id, model: "m", candidate: "2", baseline: "1", state: state, policy: RolloutPolicy(), step: step,
            startedAt: Timestamp(microseconds: 0), stepStartedAt: Timestamp(microseconds: 0), finishedAt: nil,
            reason: nil)
    }

    private static func candidates(_ table: RolloutTable, _ count: Int = 20_000) -> Set<Int> {
        Set((0..<count).filter { table.choose(model: "m", stickiness: Hash.mix(UInt64($0)))?.arm.isCandidate == true })
    }

    @Test func sharesAreKeptAndWhoHasTheNewVersionKeepsIt() {
        let table = RolloutTable()
        #expect(table.isEmpty && table.choose(model: "m", stickiness: 1) == nil)
        var before: Set<Int> = []
        for (step, share) in RolloutPolicy().steps.enumerated() {
            table.update([Self.rollout(step: step)])
            let now = Self.candidates(table)
            #expect(abs(Double(now.count) - share * 20_000) <= max(60, share * 600), "step \(step): \(now.count)")
            #expect(before.isSubset(of: now))
            before = now
        }
        #expect(table.choose(model: "n", stickiness: 1) == nil)
        // Another rollout begins with other people.
        table.update([Self.rollout(step: 2)])
        let first = Self.candidates(table)
        table.update([Self.rollout("other", step: 2)])
        #expect(Double(first.intersection(Self.candidates(table)).count) < Double(first.count) * 0.35)
        table.update([])
        #expect(table.isEmpty)
    }

    @Test func anErringVersionIsOutOfTheWayBeforeAnybodyJudges() throws {
        let table = RolloutTable()
        table.update([Self.rollout(step: 4)])
        let arm = try #require(table.choose(model: "m", stickiness: 1)).arm
        #expect(arm.isCandidate)
        var sums = RolloutSums()
        sums.requests = 1
        sums.errors = 1
        for _ in 0..<Guardrail.errorLimit - 1 { table.record(arm, model: "m", stratum: 0, sums) }
        #expect(!Self.candidates(table, 100).isEmpty)
        table.record(arm, model: "m", stratum: 0, sums)
        // A twentieth still goes there, for the judge.
        #expect(Self.candidates(table, 100).count == 5)
        // Told again as it is, it stays out; another step begins anew.
        table.update([Self.rollout(step: 4)])
        #expect(Self.candidates(table, 100).count == 5)
        table.update([Self.rollout(step: 3)])
        #expect(Self.candidates(table, 100).count > 20)
        let taken = table.takeSums()
        #expect(taken.values.map(\.errors) == [Guardrail.errorLimit] && table.takeSums().isEmpty)
        table.putBack(taken)
        #expect(table.takeSums() == taken)
    }

    @Test func fewErrorsAmongManyAnswersAreForTheJudge() {
        var guardrail = Guardrail()
        for index in 0..<1_000 { guardrail.record(isError: index % 6 == 0) }
        #expect(!guardrail.isClosed)
        for index in 0..<Guardrail.window { guardrail.record(isError: index % 3 == 0) }
        #expect(guardrail.isClosed)
    }
}
