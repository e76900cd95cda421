import Ledger
import Pipeline
import Testing

/// A run from its event to its end, through every call that the loops and the command line make.
@Suite struct LifeTests {
    @Test(.timeLimit(.minutes(4)))
    func aChainRunsToItsEnd() async throws {
        try await withLedger { ledger, _ in
            let spec = PipelineSpec.chain("a", "b")
            let run = newRun(spec, event: "e1")
            let accepted = try await ledger.accept([run])
            #expect(accepted.newRuns == [run.id])
            #expect(accepted.readyPools == ["noop"])
            #expect(try await ledger.run(ofEvent: "e1", source: "/test") == run.id)

            #expect(try await ledger.poolsWithWork().map(\.pool) == ["noop"])
            let sent = try await ledger.dispatch(pool: "noop", limit: 10) { dispatches in
                #expect(dispatches.map(\.task) == [TaskID(run: run.id, stage: "a")])
                #expect(dispatches.first?.attempt == 1)
                #expect(dispatches.first?.traceparent == run.traceparent)
                return []
            }
            #expect(sent == 1)
            #expect(try await ledger.task("a", of: run.id)?.state == .dispatched)
            let inFlight = try await ledger.inFlight(olderThan: .zero, limit: 10)
            #expect(inFlight.map(\.task.stage) == ["a"])

            try await ledger.markStarted([
                TaskStarted(
                    task: TaskID(run: run.id, stage: "a"), attempt: 1, token: ClaimToken("t"), worker: "w1",
                    startedAt: .now)
            ])
            #expect(try await ledger.task("a", of: run.id)?.state == .running)

            let output = StageOutput(values: ["n": 1], digest: "d")
            let applied = try await ledger.apply([result(run.id, "a", output: output)])
            #expect(applied.accepted == 1)
            #expect(applied.readyPools == ["noop"])
            #expect(try await ledger.task("a", of: run.id)?.output == output)

            _ = try await ledger.dispatch(pool: "noop", limit: 10) { dispatches in
                let payload = try #require(dispatches.first?.payload)
                #expect(payload.contains("\"digest\":\"d\""))
                return []
            }
            let last = try await ledger.apply([result(run.id, "b")])
            #expect(last.finishedRuns == [run.id: .succeeded])

            let record = try await ledger.run(run.id)
            #expect(record.state == .succeeded)
            #expect(record.finishedAt != nil)
            #expect(record.tasks.map(\.state) == [.succeeded, .succeeded])
            #expect(record.tasks.allSatisfy { $0.log != nil && $0.worker == "w1" && $0.startedAt != nil })
            let line = try #require(try await ledger.listRuns(state: .succeeded, pipeline: "chain", limit: 5).first)
            #expect(line.id == run.id)
            #expect(line.stages == 2)
            #expect(line.succeeded == 2)
            #expect(try await ledger.findRun("latest") == run.id)
            #expect(try await ledger.findRun(String(run.id.description.prefix(6))) == run.id)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func everyCallForPeopleWorks() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a", "b"))
            try await ledger.sendAll()
            let failure = Failure(class: .permanent, code: "x.y", message: "no", details: ["line": 3])
            let applied = try await ledger.apply([result(run, "a", outcome: .failed, failure: failure)])
            #expect(applied.finishedRuns == [run: .failed])
            let dead = try await ledger.deadTasks(limit: 10)
            #expect(dead.map(\.stage) == ["a"])
            #expect(dead.first?.failure == failure)
            #expect(try await ledger.counts().tasksDead == 1)
            let record = try await ledger.run(run)
            #expect(record.failures.map(\.failure) == [failure])
            #expect(record.reason?.contains("no") == true)
            #expect(record.tasks.map(\.state) == [.dead, .skipped])

            let again = try await ledger.retry(run, from: nil, actor: "me")
            #expect(again.stages == ["a", "b"])
            #expect(again.readyPools == ["noop"])
            #expect(try await ledger.run(run).generation == 2)
            let cancelled = try await ledger.cancel(run, actor: "me")
            #expect(cancelled.stages.sorted() == ["a", "b"])
            #expect(try await ledger.run(run).state == .cancelled)

            try await ledger.announceReady(pools: ["noop"])
            try await ledger.setPool("noop", desired: 2, actor: "me")
            #expect(try await ledger.pools() == ["noop": 2])
            #expect(try await ledger.demand().isEmpty)
            #expect(try await ledger.stuckRuns().isEmpty)
            #expect(try await ledger.sendAgain([(TaskID(run: run, stage: "a"), 1)]) == 0)
            #expect(try await ledger.nextDue() == nil)
            #expect(try await ledger.asLeader(of: .reconciling) { 7 } == 7)
            #expect(try await ledger.lastTick(pipeline: "p", schedule: "s") == nil)
            try await ledger.recordTick(pipeline: "p", schedule: "s", tick: Timestamp(microseconds: 5))
            #expect(try await ledger.lastTick(pipeline: "p", schedule: "s") == Timestamp(microseconds: 5))

            let letter = NewDeadLetter(
                queue: "q", reason: "r", contentType: nil, headers: ["a": 1], body: [0, 255, 1], bodyBytes: 3)
            _ = try await ledger.accept([], deadLetters: [letter])
            let kept = try #require(try await ledger.deadLetters(limit: 3).first)
            #expect(kept.body == nil)
            #expect(try await ledger.deadLetter(kept.id).body == [0, 255, 1])

            #expect(try await ledger.claimEffect(run: run, key: "k", token: ClaimToken("1")) == .first)
            #expect(try await ledger.claimEffect(run: run, key: "k", token: ClaimToken("2")) == .again)
            try await ledger.recordEffect(
                run: run, key: "k", token: ClaimToken("2"), succeeded: true, outcome: ["v": 1])
            #expect(try await ledger.claimEffect(run: run, key: "k", token: ClaimToken("3")) == .done(["v": 1]))
            #expect(try await ledger.effects(of: run).map(\.state) == ["done"])
        }
    }
}
