import Ledger
import Pipeline
import Testing

@Suite struct ResultTests {
    private static let failure = Failure(class: .retryable, code: "c", message: "it broke")

    private func started(_ run: RunID, token: String, attempt: Int = 1) -> TaskStarted {
        TaskStarted(
            task: TaskID(run: run, stage: "a"), attempt: attempt, token: ClaimToken(token), worker: "w", startedAt: .now
        )
    }

    @Test(.timeLimit(.minutes(4)))
    func theFirstResultOfTheAttemptThatCountsWins() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            try await ledger.sendAll()
            let applied = try await ledger.apply([
                result(run, "a", attempt: 2), result(run, "none"), result(RunID("nope"), "a"),
                result(run, "a", token: "1", output: StageOutput(values: ["by": 1])),
                result(run, "a", token: "2", output: StageOutput(values: ["by": 2])),
            ])
            #expect(applied.accepted == 1)
            #expect(applied.dropped.count == 4)
            #expect(try await ledger.task("a", of: run)?.output?.values == ["by": 1])
            #expect(try await ledger.apply([result(run, "a", token: "1")]).dropped.count == 1)
            #expect(try await ledger.apply([]).accepted == 0)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func anotherTokenThanTheOneThatStartedIsDropped() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            try await ledger.sendAll()
            try await ledger.markStarted([started(run, token: "1"), started(run, token: "9", attempt: 9)])
            #expect(try await ledger.apply([result(run, "a", token: "2")]).dropped.count == 1)
            // After a loss of Redis the same attempt may be claimed anew; the later claim then counts.
            try await ledger.markStarted([started(run, token: "2")])
            #expect(try await ledger.apply([result(run, "a", token: "1")]).dropped.count == 1)
            #expect(try await ledger.apply([result(run, "a", token: "2")]).accepted == 1)
            // A start that comes after the end changes nothing.
            try await ledger.markStarted([started(run, token: "2")])
            #expect(try await ledger.task("a", of: run)?.state == .succeeded)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aRetryableFailureWaitsForItsTime() async throws {
        try await withLedger { ledger, _ in
            let retry = RetryPolicy(
                maximumAttempts: 2, initialDelaySeconds: 100, multiplier: 1, maximumDelaySeconds: 100)
            let run = try await ledger.start(.chain("a", retry: retry))
            try await ledger.sendAll()
            try await ledger.markStarted([started(run, token: "t")])
            let applied = try await ledger.apply([result(run, "a", outcome: .failed, failure: Self.failure)])
            #expect(applied.failures.map(\.failure) == [Self.failure])
            let task = try #require(try await ledger.task("a", of: run))
            #expect(task.state == .ready)
            #expect(task.attempt == 2)
            #expect(task.failures == 1)
            #expect(task.failure == Self.failure)
            #expect(task.token == nil && task.worker == nil)
            let wait = Timestamp.now.duration(to: try #require(task.dueAt))
            #expect(wait > .seconds(45) && wait <= .seconds(100))
            #expect(try await ledger.sendAll() == 0)
            #expect(try await ledger.run(run).failures.first?.worker == "w1")
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func theLastFailureEndsTheTaskAndTheRun() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a", "b"))
            for attempt in 1...3 {
                try await ledger.sendAll()
                _ = try await ledger.apply([
                    result(run, "a", attempt: attempt, outcome: .failed, failure: Self.failure)
                ])
            }
            let record = try await ledger.run(run)
            #expect(record.state == .failed)
            #expect(record.reason == "stage a failed: it broke")
            #expect(record.failures.map(\.attempt) == [1, 2, 3])
            #expect(Set(record.failures.map(\.fingerprint)).count == 1)
            #expect(record.tasks.map(\.state) == [.dead, .skipped])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aLackOfMemoryIsTriedOnceMoreWithLess() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            try await ledger.sendAll()
            let failure = Failure(class: .resource, code: "oom", message: "12 GiB were not enough")
            _ = try await ledger.apply([result(run, "a", outcome: .failed, failure: failure)])
            _ = try await ledger.dispatch(pool: "noop", limit: 1) { sent in
                #expect(sent.first?.payload.contains("\"resourceRetry\":true") == true)
                #expect(sent.first?.attempt == 2)
                return []
            }
            _ = try await ledger.apply([result(run, "a", attempt: 2, outcome: .failed, failure: failure)])
            #expect(try await ledger.task("a", of: run)?.state == .dead)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aRejectionIsAnOutcomeWithItsDecision() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a", "b"))
            try await ledger.sendAll()
            let output = StageOutput(values: .object([GateDecision.outputKey: ["accepted": false]]))
            let applied = try await ledger.apply([result(run, "a", outcome: .rejected, output: output)])
            #expect(applied.finishedRuns == [run: .rejected])
            let record = try await ledger.run(run)
            #expect(record.tasks.map(\.state) == [.succeeded, .skipped])
            #expect(record.tasks.first?.rejected == true)
            #expect(record.gates.map(\.accepted) == [false])
            #expect(record.gates.first?.decision == ["accepted": false])
            #expect(record.reason?.contains("rejected by the gate of stage a") == true)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func stagesFanOutAndIn() async throws {
        try await withLedger { ledger, _ in
            let spec = PipelineSpec(
                name: "diamond",
                stages: [
                    StageSpec(name: "a", kind: "noop"), StageSpec(name: "b", kind: "noop", needs: ["a"]),
                    StageSpec(name: "c", kind: "noop", needs: ["a"]),
                    StageSpec(name: "d", kind: "noop", needs: ["b", "c"]),
                ])
            let run = try await ledger.start(spec)
            try await ledger.sendAll()
            _ = try await ledger.apply([result(run, "a")])
            #expect(try await ledger.sendAll() == 2)
            _ = try await ledger.apply([result(run, "b", output: StageOutput(digest: "b"))])
            #expect(try await ledger.sendAll() == 0)
            _ = try await ledger.apply([result(run, "c", output: StageOutput(digest: "c"))])
            _ = try await ledger.dispatch(pool: "noop", limit: 10) { sent in
                let payload = try #require(sent.first?.payload)
                #expect(payload.contains("\"digest\":\"b\"") && payload.contains("\"digest\":\"c\""))
                return []
            }
            #expect(try await ledger.apply([result(run, "d")]).finishedRuns == [run: .succeeded])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aStageThatRunsAlwaysIsToldTheOutcome() async throws {
        try await withLedger { ledger, _ in
            var spec = PipelineSpec.chain("a", "b")
            spec.stages.append(StageSpec(name: "tell", kind: "noop", condition: .always))
            let run = try await ledger.start(spec)
            try await ledger.sendAll()
            let failure = Failure(class: .permanent, code: "c", message: "no such file")
            _ = try await ledger.apply([result(run, "a", outcome: .failed, failure: failure)])
            _ = try await ledger.dispatch(pool: "noop", limit: 10) { sent in
                let payload = try #require(sent.first?.payload)
                #expect(payload.contains("\"state\":\"failed\""))
                #expect(payload.contains("no such file"))
                #expect(payload.contains("\"generation\":1"))
                return []
            }
            // Its own failure changes nothing.
            _ = try await ledger.apply([result(run, "tell", outcome: .failed, failure: failure)])
            #expect(try await ledger.run(run).state == .failed)
            #expect(try await ledger.run(run).reason == "stage a failed: no such file")
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func lossesAreCountedApartAndAtLastPoison() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            for attempt in 1...TaskMachine.maximumLost {
                try await ledger.sendAll()
                let task = TaskID(run: run, stage: "a")
                let applied = try await ledger.applyLosses([
                    (task, attempt), (task, 99), (TaskID(run: run, stage: "x"), 1),
                ])
                #expect(applied.accepted == 1)
                #expect(applied.dropped.count == 2)
            }
            let record = try await ledger.run(run)
            #expect(record.state == .failed)
            #expect(record.tasks.first?.losses == TaskMachine.maximumLost)
            #expect(record.tasks.first?.failures == 0)
            #expect(record.failures.last?.failure.class == .poison)
            #expect(try await ledger.applyLosses([]).accepted == 0)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func twoSchedulersApplyOverlappingBatchesWithoutDeadlock() async throws {
        try await withLedger { ledger, _ in
            let runs = (0..<60).map { _ in newRun(.chain("a", "b", "c")) }
            _ = try await ledger.accept(runs)
            for stage in ["a", "b", "c"] {
                try await ledger.sendAll()
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for worker in 0..<4 {
                        group.addTask {
                            let mixed = runs.shuffled()
                            async let starts: Void = ledger.markStarted(
                                mixed.map {
                                    TaskStarted(
                                        task: TaskID(run: $0.id, stage: stage), attempt: 1, token: ClaimToken("t"),
                                        worker: "w\(worker)", startedAt: .now)
                                })
                            let accepted = try await ledger.apply(mixed.map { result($0.id, stage) }).accepted
                            try await starts
                            _ = try await ledger.sendAgain(mixed.map { (TaskID(run: $0.id, stage: stage), 1) })
                            return accepted
                        }
                    }
                    let accepted = try await group.reduce(0, +)
                    #expect(accepted == 60)
                }
            }
            #expect(try await ledger.listRuns(state: .succeeded, pipeline: nil, limit: 100).count == 60)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func anOutputThatCannotBeStoredIsRefusedAndAFailuresTextIsKept() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            try await ledger.sendAll()
            await #expect(throws: (any Error).self) {
                try await ledger.apply([result(run, "a", output: StageOutput(values: ["x": "a\0b"]))])
            }
            #expect(try await ledger.task("a", of: run)?.state == .dispatched)
            let failure = Failure(class: .permanent, code: "c\0", message: "m\0", details: ["k": "v\0"])
            _ = try await ledger.apply([result(run, "a", outcome: .failed, failure: failure)])
            let record = try await ledger.run(run)
            #expect(record.failures.first?.failure.message == "m␀")
            #expect(record.tasks.first?.failure?.details == ["k": "v␀"])
            #expect(record.reason?.hasSuffix("m␀") == true)
        }
    }
}
