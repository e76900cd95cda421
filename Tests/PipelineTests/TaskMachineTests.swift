import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct TaskMachineTests {
    private let machine = TaskMachine(
        policy: RetryPolicy(maximumAttempts: 3, initialDelaySeconds: 4, multiplier: 2, maximumDelaySeconds: 60))

    private func failed(_ failureClass: Failure.Class) -> (TaskMachine.Event, Failure) {
        let failure = Failure(class: failureClass, code: "x", message: "it broke")
        return (.result(.failed, failure), failure)
    }

    @Test func theEndsThatAreNoFailures() {
        let counts = TaskMachine.Counts(failures: 2, lost: 1)
        #expect(
            machine.decision(for: .result(.succeeded, nil), counts: counts, fraction: 0)
                == .succeeded(isRejected: false))
        #expect(
            machine.decision(for: .result(.rejected, nil), counts: counts, fraction: 0) == .succeeded(isRejected: true))
        #expect(machine.decision(for: .result(.cancelled, nil), counts: counts, fraction: 0) == .cancelled)
        #expect(
            machine.decision(for: .result(.released, nil), counts: counts, fraction: 0.9)
                == .retry(.init(delay: .zero, counts: counts)), "given back: at once, and nothing is counted")
    }

    @Test(arguments: [Failure.Class.retryable, .timeout])
    func retriesFollowThePolicy(_ failureClass: Failure.Class) {
        let (event, failure) = failed(failureClass)
        #expect(
            machine.decision(for: event, counts: .init(), fraction: 0)
                == .retry(.init(delay: .seconds(2), counts: .init(failures: 1), failure: failure)))
        #expect(
            machine.decision(for: event, counts: .init(failures: 1, lost: 5), fraction: 0.5)
                == .retry(.init(delay: .seconds(6), counts: .init(failures: 2, lost: 5), failure: failure)))
        #expect(
            machine.decision(for: event, counts: .init(failures: 2), fraction: 0) == .dead(failure, .init(failures: 3)))
    }

    @Test(arguments: [Failure.Class.permanent, .poison])
    func whatCannotHelpIsNotTriedAgain(_ failureClass: Failure.Class) {
        let (event, failure) = failed(failureClass)
        #expect(machine.decision(for: event, counts: .init(), fraction: 0) == .dead(failure, .init(failures: 1)))
    }

    @Test func aSmallMachineIsTriedOnceWithLess() {
        let (event, failure) = failed(.resource)
        let smaller = TaskMachine.Counts(failures: 2, isResourceRetry: true)
        #expect(
            machine.decision(for: event, counts: .init(failures: 2), fraction: 0)
                == .retry(.init(delay: .seconds(2), counts: smaller, failure: failure)), "even on the last attempt")
        #expect(
            machine.decision(for: event, counts: smaller, fraction: 0)
                == .dead(failure, .init(failures: 3, isResourceRetry: true)))
    }

    @Test func lostLeasesAreBoundedApart() {
        var counts = TaskMachine.Counts(failures: 2)
        var delays: [Duration] = []
        while case .retry(let retry) = machine.decision(for: .leaseLost, counts: counts, fraction: 0) {
            #expect(retry.counts.failures == 2)
            #expect(retry.failure?.class == .lost)
            delays.append(retry.delay)
            counts = retry.counts
        }
        #expect(delays == [0, 2, 4, 8, 16, 30, 30].map { .seconds($0) })
        guard case .dead(let failure, let last) = machine.decision(for: .leaseLost, counts: counts, fraction: 0) else {
            Issue.record("the eighth loss ends the task")
            return
        }
        #expect(failure.class == .poison && failure.code == "task.workers_vanish" && last.lost == 8)
        #expect(
            failure.message
                == "the workers of 8 attempts vanished: look at the logs of the attempts and at the memory of "
                + "the workers, then retry the run")
    }

    @Test func aFailureWithoutAReasonIsTriedAgain() {
        guard case .retry(let retry) = machine.decision(for: .result(.failed, nil), counts: .init(), fraction: 0) else {
            Issue.record("expected a retry")
            return
        }
        #expect(retry.failure?.code == "task.unexplained" && retry.counts.failures == 1)
    }

    @Test func aCancelledAttemptCancelsTheTask() {
        #expect(machine.decision(for: failed(.cancelled).0, counts: .init(), fraction: 0) == .cancelled)
    }

    /// Whatever happens to a task, it ends within what the policy and the bounds allow.
    @Test func everyTaskEnds() {
        for seed in 0..<500 {
            var generator = SeededGenerator(seed: UInt64(seed))
            let limit = Int.random(in: 1...10, using: &generator)
            let machine = TaskMachine(policy: RetryPolicy(maximumAttempts: limit))
            var counts = TaskMachine.Counts()
            var attempts = 0
            var isOver = false
            while !isOver {
                attempts += 1
                let failureClass = Failure.Class.allCases.filter { $0 != .cancelled }.randomElement(using: &generator)
                let event: TaskMachine.Event =
                    Bool.random(using: &generator) ? .leaseLost : failed(failureClass ?? .retryable).0
                let fraction = Double.random(in: 0..<1, using: &generator)
                switch machine.decision(for: event, counts: counts, fraction: fraction) {
                case .retry(let retry):
                    #expect(retry.delay >= .zero && retry.delay <= .seconds(300))
                    #expect(retry.counts.failures >= counts.failures && retry.counts.lost >= counts.lost)
                    counts = retry.counts
                case .dead, .succeeded, .cancelled: isOver = true
                }
            }
            #expect(attempts <= limit + TaskMachine.maximumLost + 1, "seed \(seed)")
        }
    }

    @Test func delaysGrowSpreadAndStayBounded() {
        let policy = RetryPolicy(maximumAttempts: 50, initialDelaySeconds: 1, multiplier: 3, maximumDelaySeconds: 20)
        #expect(
            [1, 2, 3, 4, 50].map { policy.delay(afterFailures: $0, fraction: 0) }
                == [0.5, 1.5, 4.5, 10, 10].map { .seconds($0) })
        #expect(policy.delay(afterFailures: 3, fraction: 0.5) == .seconds(6.75))
        #expect(policy.delay(afterFailures: 0, fraction: 0) == .seconds(0.5))
    }
}
