import Coordination
import Ledger
import Pipeline
import Testing

@testable import Scheduler

/// What the reconciler takes for gone, from what the three stores say.
@Suite struct ReconcilePlanTests {
    private static let grace = Duration.seconds(5)
    private static let lease = Duration.seconds(30)

    /// Rounds of the reconciler over unchanging tasks.
    private struct Rounds {
        var memory = ReconcilePlan.Memory()
        var now = Timestamp(microseconds: 1_000_000_000)

        mutating func round(
            after seconds: Int = 0, _ tasks: [ReconcilePlan.Task], waiting: [String: Int] = [:], resultsWaiting: Int = 0
        ) -> ReconcilePlan {
            now = now.advanced(by: .seconds(seconds))
            let plan = ReconcilePlan(
                tasks: tasks, waiting: waiting, resultsWaiting: resultsWaiting, grace: grace, lease: lease,
                memory: memory, now: now)
            memory = plan.memory
            return plan
        }
    }

    private func task(
        _ standing: Coordinator.LeaseState.Standing, state: TaskState = .dispatched, attempt: Int = 1,
        known: Int? = nil, age: Double = 10, run: String = "r1"
    ) -> ReconcilePlan.Task {
        ReconcilePlan.Task(
            row: Ledger.InFlight(
                task: TaskID(run: RunID(run), stage: "a"), attempt: attempt, state: state, pool: "p", ageSeconds: age),
            standing: Coordinator.LeaseState(attempt: known ?? attempt, standing: standing, worker: nil))
    }

    @Test func whatIsAliveIsLeftAlone() {
        var rounds = Rounds()
        for _ in 0..<20 {
            let plan = rounds.round(after: 100, [task(.alive, state: .running)])
            #expect(plan.lost.isEmpty && plan.sendAgain.isEmpty)
        }
    }

    @Test func anAbandonedLeaseIsLostAtOnce() {
        var rounds = Rounds()
        let plan = rounds.round([task(.abandoned, state: .running)])
        #expect(plan.lost.map(\.attempt) == [1])
        #expect(plan.sendAgain.isEmpty)
    }

    @Test func anAbandonedLeaseIsExcusedWhileResultsWait() {
        var rounds = Rounds()
        let tasks = [task(.abandoned, state: .running)]
        #expect(rounds.round(tasks, resultsWaiting: 3).lost.isEmpty)
        #expect(rounds.round(after: 2, tasks, resultsWaiting: 3).lost.isEmpty)
        #expect(rounds.round(after: 3, tasks, resultsWaiting: 3).lost.count == 1)
    }

    @Test func leasesThatRanOutWhileRedisWasAwayGetTimeToBeRenewed() {
        var rounds = Rounds()
        rounds.memory.blindAt = rounds.now
        let tasks = [task(.abandoned, state: .running)]
        #expect(rounds.round(after: 1, tasks).lost.isEmpty)
        #expect(rounds.round(after: 5, [task(.alive, state: .running)]).lost.isEmpty)
        #expect(rounds.round(after: 5, tasks).lost.isEmpty)
        #expect(rounds.round(after: 16, tasks).lost.count == 1)
        #expect(rounds.round(after: 30, []).memory.blindAt == nil)
    }

    /// A machine that is suspended takes its workers with it.
    @Test func leasesThatRanOutWhileTheSchedulerStoodStillGetTimeToBeRenewed() {
        let tasks = [task(.abandoned, state: .running)]
        for (pause, isExcused) in [(10, false), (60, true)] {
            var rounds = Rounds()
            for seconds in [0, 10, pause] {
                let now = rounds.now.advanced(by: .seconds(seconds))
                rounds.memory.looked(now, interval: .seconds(10), lease: Self.lease)
                #expect(rounds.round(after: seconds, []).lost.isEmpty)
            }
            #expect(rounds.round(tasks).lost.isEmpty == isExcused, "after \(pause) s")
            #expect(!isExcused || rounds.round(after: 16, tasks).lost.count == 1)
        }
    }

    @Test func aForgottenRunningTaskHasALeaseToComeBack() {
        var rounds = Rounds()
        let tasks = [task(.unknown, state: .running, known: 0)]
        #expect(rounds.round(tasks).lost.isEmpty)
        #expect(rounds.round(after: 29, tasks).lost.isEmpty)
        #expect(rounds.round(after: 1, tasks).lost.count == 1)
    }

    @Test func aTaskThatCameBackIsNoLongerSuspect() {
        var rounds = Rounds()
        let forgotten = [task(.unknown, state: .running, known: 0)]
        #expect(rounds.round(forgotten).lost.isEmpty)
        #expect(rounds.round(after: 20, [task(.alive, state: .running)]).lost.isEmpty)
        #expect(rounds.round(after: 20, forgotten).lost.isEmpty)
        #expect(rounds.round(after: 30, forgotten).lost.count == 1)
    }

    @Test func aDoneAttemptIsLostOnlyWhenItsResultIs() {
        var rounds = Rounds()
        let tasks = [task(.done, state: .running)]
        #expect(rounds.round(tasks, resultsWaiting: 1).lost.isEmpty)
        #expect(rounds.round(after: 20, tasks, resultsWaiting: 1).lost.isEmpty)
        #expect(rounds.round(after: 1, tasks, resultsWaiting: 0).lost.count == 1)
    }

    @Test func aMessageOnItsWayIsLeftAlone() {
        var rounds = Rounds()
        let tasks = [task(.dispatched, age: 1)]
        for _ in 0..<5 { #expect(rounds.round(after: 10, tasks).sendAgain.isEmpty) }
    }

    @Test func messagesThatWaitInTheQueueAreLeftAlone() {
        var rounds = Rounds()
        let tasks = [task(.dispatched), task(.dispatched, run: "r2")]
        for _ in 0..<5 { #expect(rounds.round(after: 100, tasks, waiting: ["p": 2]).sendAgain.isEmpty) }
    }

    @Test func aPurgedQueueIsFilledAgain() {
        var rounds = Rounds()
        let tasks = [task(.dispatched), task(.unknown, known: 0, run: "r2")]
        #expect(rounds.round(tasks, waiting: ["p": 0]).sendAgain.isEmpty)
        #expect(rounds.round(after: 4, tasks, waiting: ["p": 0]).sendAgain.isEmpty)
        #expect(rounds.round(after: 1, tasks, waiting: ["p": 0]).sendAgain.count == 2)
        // What was sent again gets the same time as the first message.
        #expect(rounds.round(after: 1, tasks, waiting: ["p": 0]).sendAgain.isEmpty)
    }

    @Test func aShortfallIsJudgedMoreSlowlyThanAnEmptyQueue() {
        var rounds = Rounds()
        let tasks = [task(.dispatched), task(.dispatched, run: "r2")]
        #expect(rounds.round(tasks, waiting: ["p": 1]).sendAgain.isEmpty)
        #expect(rounds.round(after: 9, tasks, waiting: ["p": 1]).sendAgain.isEmpty)
        #expect(rounds.round(after: 1, tasks, waiting: ["p": 1]).sendAgain.count == 2)
    }

    @Test func whatRedisKnowsOfAnotherAttemptSaysNothingOfThisOne() {
        var rounds = Rounds()
        let tasks = [task(.abandoned, attempt: 2, known: 1)]
        #expect(rounds.round(tasks).lost.isEmpty)
        #expect(rounds.round(after: 5, tasks).sendAgain.map(\.attempt) == [2])
    }

    @Test func aSuspicionIsOfOneAttempt() {
        var rounds = Rounds()
        #expect(rounds.round([task(.unknown, state: .running, known: 0)]).lost.isEmpty)
        #expect(rounds.round(after: 40, [task(.unknown, state: .running, attempt: 2, known: 0)]).lost.isEmpty)
    }

    /// A replica that lags, or a snapshot from before the claim.
    @Test func aRunningTaskWhoseClaimRedisForgotIsLostAfterALease() {
        var rounds = Rounds()
        let tasks = [task(.dispatched, state: .running)]
        #expect(rounds.round(tasks, waiting: ["p": 0]).lost.isEmpty)
        let plan = rounds.round(after: 30, tasks, waiting: ["p": 0])
        #expect(plan.lost.map(\.attempt) == [1])
        #expect(plan.sendAgain.isEmpty)
    }

    @Test func aBusyPoolsTrafficDoesNotHideWhatIsMissing() {
        var rounds = Rounds()
        let old = (1...3).map { task(.dispatched, run: "old\($0)") }
        let young = (1...10).map { task(.dispatched, age: 1, run: "young\($0)") }
        // Ten messages for thirteen tasks.
        #expect(rounds.round(old + young, waiting: ["p": 10]).sendAgain.isEmpty)
        let plan = rounds.round(after: 10, old + young, waiting: ["p": 10])
        #expect(plan.sendAgain.map(\.task.run.description).sorted() == ["old1", "old2", "old3"])
    }
}
