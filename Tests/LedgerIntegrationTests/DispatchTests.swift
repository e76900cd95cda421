import Ledger
import Pipeline
import PostgresClient
import Synchronization
import Testing

@Suite struct DispatchTests {
    @Test(.timeLimit(.minutes(4)))
    func theMostUrgentComeFirstThenTheOldest() async throws {
        try await withLedger { ledger, _ in
            let spec = PipelineSpec.chain("a")
            let low = try await ledger.start(spec, priority: -5)
            let old = try await ledger.start(spec)
            let young = try await ledger.start(spec)
            let high = try await ledger.start(spec, priority: 50)
            let order = Mutex<[RunID]>([])
            for limit in [1, 2, 10] {
                _ = try await ledger.dispatch(pool: "noop", limit: limit) { sent in
                    order.withLock { $0 += sent.map(\.task.run) }
                    return []
                }
            }
            #expect(order.withLock(\.self) == [high, old, young, low])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func whatIsNotSentStaysReady() async throws {
        try await withLedger { ledger, _ in
            let spec = PipelineSpec.chain("a")
            let first = try await ledger.start(spec)
            let second = try await ledger.start(spec)
            let sent = try await ledger.dispatch(pool: "noop", limit: 10) { _ in [TaskID(run: first, stage: "a")] }
            #expect(sent == 1)
            #expect(try await ledger.task("a", of: first)?.state == .ready)
            #expect(try await ledger.task("a", of: second)?.state == .dispatched)
            struct Crash: Error {}
            await #expect(throws: Crash.self) {
                _ = try await ledger.dispatch(pool: "noop", limit: 10) { _ in throw Crash() }
            }
            #expect(try await ledger.task("a", of: first)?.state == .ready)
            #expect(try await ledger.dispatch(pool: "other", limit: 10) { _ in [] } == 0)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func twoDispatchersShareTheWorkAndNeitherWaits() async throws {
        try await withLedger { ledger, _ in
            let spec = PipelineSpec.chain("a")
            _ = try await ledger.accept((0..<20).map { _ in newRun(spec) })
            let seen = Mutex<[TaskID]>([])
            // The second dispatches while the first is still sending.
            _ = try await ledger.dispatch(pool: "noop", limit: 8) { first in
                seen.withLock { $0 += first.map(\.task) }
                _ = try await ledger.dispatch(pool: "noop", limit: 100) { second in
                    seen.withLock { $0 += second.map(\.task) }
                    return []
                }
                return []
            }
            #expect(seen.withLock(\.count) == 20)
            #expect(Set(seen.withLock(\.self)).count == 20)
        }
    }

    /// A worker can be faster than the commit of the dispatcher that sent it its task.
    @Test(.timeLimit(.minutes(4)))
    func aResultThatOvertakesTheCommitCounts() async throws {
        try await withLedger { ledger, client in
            let run = try await ledger.start(.chain("a", "b"))
            let applied = Mutex<Task<Ledger.Applied, any Error>?>(nil)
            _ = try await ledger.dispatch(pool: "noop", limit: 10) { _ in
                applied.withLock { $0 = Task { try await ledger.apply([result(run, "a")]) } }
                // Until the result waits for the row that this transaction has locked.
                try await client.waitForLockWait()
                return []
            }
            #expect(try await applied.withLock(\.self)?.value.accepted == 1)
            #expect(try await ledger.task("a", of: run)?.state == .succeeded)
            #expect(try await ledger.task("b", of: run)?.state == .ready)
        }
    }

    /// Its scheduler died between the broker's confirm and the commit: the worker is the first to say that it is out.
    @Test(.timeLimit(.minutes(4)))
    func aTaskThatRunsWithoutAKnownDispatchIsInFlight() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            let task = TaskID(run: run, stage: "a")
            try await ledger.markStarted([
                TaskStarted(task: task, attempt: 1, token: ClaimToken("t"), worker: "w1", startedAt: .now)
            ])
            let out = try await ledger.inFlight(olderThan: .zero, limit: 10)
            #expect(out.map(\.task) == [task])
            #expect(out.map(\.state) == [.running])
            #expect(try #require(out.first).ageSeconds < 60)
        }
    }

    /// Clocks of workers differ; that of the ledger decides when a task is due.
    @Test(.timeLimit(.minutes(4)))
    func aWorkersClockDoesNotDelayARetry() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            try await ledger.sendAll()
            var late = result(run, "a", outcome: .released)
            late.finishedAt = Timestamp.now.advanced(by: .seconds(3_600))
            _ = try await ledger.apply([late])
            #expect(try await ledger.sendAll() == 1)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func poolsWithWorkAndTheNextDueTime() async throws {
        try await withLedger { ledger, _ in
            var stages: [StageSpec] = []
            for pool in ["p1", "p2", "p3"] { stages.append(StageSpec(name: pool, kind: "noop", pool: pool)) }
            stages[1].retry = RetryPolicy(
                maximumAttempts: 2, initialDelaySeconds: 600, multiplier: 1, maximumDelaySeconds: 600)
            let run = try await ledger.start(PipelineSpec(name: "x", stages: stages))
            #expect(try await ledger.poolsWithWork().map(\.pool) == ["p1", "p2", "p3"])
            #expect(try await ledger.nextDue() == nil)
            try await ledger.sendAll(pool: "p2")
            let failure = Failure(class: .retryable, code: "c", message: "m")
            _ = try await ledger.apply([result(run, "p2", outcome: .failed, failure: failure)])
            // Not due for a while: neither work nor forgotten.
            #expect(try await ledger.poolsWithWork().map(\.pool) == ["p1", "p3"])
            let due = try #require(try await ledger.nextDue())
            #expect(due > Timestamp.now.advanced(by: .seconds(250)))
            try await ledger.sendAll(pool: "p1")
            #expect(try await ledger.poolsWithWork().map(\.pool) == ["p3"])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func readyNotificationsArrive() async throws {
        try await withLedger { ledger, _ in
            var notices = ledger.readyNotifications().makeAsyncIterator()
            let first = try await notices.next()
            #expect(first == .listening)
            try await ledger.announceReady(pools: [])
            try await ledger.announceReady(pools: ["b", "a"])
            guard case .message(let message) = try await notices.next() else {
                Issue.record("no message after the listening began")
                return
            }
            #expect(message.payload == "a,b")
        }
    }
}

extension PostgresClient {
    /// Returns once some statement in this database waits for a lock.
    func waitForLockWait() async throws {
        let sql =
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while try await query(sql)[0]["n", as: Int.self] == 0 { try await Task.sleep(for: .milliseconds(10)) }
    }
}
