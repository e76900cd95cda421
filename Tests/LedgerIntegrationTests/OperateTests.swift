import Ledger
import Pipeline
import PostgresClient
import Testing

@Suite struct OperateTests {
    private static let failure = Failure(class: .permanent, code: "c", message: "m")

    private static var withNotice: PipelineSpec {
        var spec = PipelineSpec.chain("a", "b", "c")
        spec.stages.append(StageSpec(name: "tell", kind: "noop", condition: .always))
        return spec
    }

    @Test(.timeLimit(.minutes(4)))
    func cancellingStopsAndTells() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(Self.withNotice)
            try await ledger.sendAll()
            let done = try await ledger.cancel(run, actor: "ada")
            #expect(done.stages.sorted() == ["a", "b", "c"])
            #expect(done.readyPools == ["noop"])
            let record = try await ledger.run(run)
            #expect(record.tasks.map(\.state) == [.cancelled, .skipped, .skipped, .ready])
            #expect(record.reason == "cancelled by ada")
            _ = try await ledger.dispatch(pool: "noop", limit: 5) { sent in
                #expect(sent.map(\.task.stage) == ["tell"])
                #expect(sent.first?.payload.contains("cancelled by ada") == true)
                return []
            }
            #expect(try await ledger.apply([result(run, "a")]).dropped.count == 1)
            let error = await #expect(throws: LedgerError.self) { try await ledger.cancel(run, actor: "ada") }
            #expect(error?.code == .refused)
            let missing = await #expect(throws: LedgerError.self) { try await ledger.cancel(RunID("x"), actor: "a") }
            #expect(missing?.code == .notFound)
            #expect(try await ledger.cancelled(among: [run, RunID("x")]) == [run])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aRetryKeepsWhatSucceededAndTellsAgain() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(Self.withNotice)
            try await ledger.sendAll()
            _ = try await ledger.apply([result(run, "a", output: StageOutput(digest: "kept"))])
            try await ledger.sendAll()
            _ = try await ledger.apply([result(run, "b", outcome: .failed, failure: Self.failure)])
            try await ledger.sendAll()
            _ = try await ledger.apply([result(run, "tell")])
            let again = try await ledger.retry(run, from: nil, actor: "ada")
            #expect(again.stages == ["b", "c", "tell"])
            let record = try await ledger.run(run)
            #expect(record.state == .running)
            #expect(record.generation == 2)
            #expect(record.reason == nil)
            #expect(record.tasks.map(\.state) == [.succeeded, .ready, .pending, .pending])
            #expect(record.tasks[1].attempt == 2)
            #expect(record.tasks[1].failures == 0)
            #expect(record.failures.count == 1)
            // What is late of the generation before does not count.
            #expect(try await ledger.apply([result(run, "b")]).dropped.count == 1)
            _ = try await ledger.dispatch(pool: "noop", limit: 5) { sent in
                #expect(sent.first?.payload.contains("\"digest\":\"kept\"") == true)
                #expect(sent.first?.payload.contains("\"generation\":2") == true)
                return []
            }
            _ = try await ledger.apply([result(run, "b", attempt: 2)])
            try await ledger.sendAll()
            let last = try await ledger.apply([result(run, "c", attempt: 2)])
            #expect(last.finishedRuns == [run: .succeeded])
            #expect(try await ledger.sendAll() == 1)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aRetryFromAStageTakesWhatIsBehindIt() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a", "b", "c"))
            for stage in ["a", "b", "c"] {
                try await ledger.sendAll()
                _ = try await ledger.apply([result(run, stage)])
            }
            let error = await #expect(throws: LedgerError.self) { try await ledger.retry(run, from: nil, actor: "a") }
            #expect(error?.message.contains("--from-stage") == true)
            let unknown = await #expect(throws: LedgerError.self) { try await ledger.retry(run, from: "x", actor: "a") }
            #expect(unknown?.message.contains("it has a, b, c") == true)
            #expect(try await ledger.retry(run, from: "b", actor: "a").stages == ["b", "c"])
            let alive = await #expect(throws: LedgerError.self) { try await ledger.retry(run, from: "b", actor: "a") }
            #expect(alive?.code == .refused)
        }
    }

    /// A notification that is being retried for minutes must not keep anybody from retrying the run.
    @Test(.timeLimit(.minutes(4)))
    func aRetryDoesNotWaitForTheNotificationOfTheLastOutcome() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(Self.withNotice)
            try await ledger.sendAll()
            _ = try await ledger.apply([result(run, "a", outcome: .failed, failure: Self.failure)])
            try await ledger.sendAll()
            #expect(try await ledger.task("tell", of: run)?.state == .dispatched)
            _ = try await ledger.retry(run, from: nil, actor: "a")
            #expect(try await ledger.apply([result(run, "tell")]).dropped.count == 1)
            #expect(try await ledger.task("tell", of: run)?.state == .pending)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func runsAreFoundByTheirBeginning() async throws {
        try await withLedger { ledger, _ in
            let none = await #expect(throws: LedgerError.self) { try await ledger.findRun("latest") }
            #expect(none?.code == .notFound)
            let first = try await ledger.start(.chain("a"))
            let second = try await ledger.start(.chain("a"))
            #expect(try await ledger.findRun("latest") == second)
            #expect(try await ledger.findRun(first.description) == first)
            let ambiguous = await #expect(throws: LedgerError.self) { try await ledger.findRun("r") }
            #expect(ambiguous?.code == .ambiguous)
            for text in ["zz", "", "%", "r_"] {
                let error = await #expect(throws: LedgerError.self) { try await ledger.findRun(text) }
                #expect(error?.code == .notFound)
            }
            let missing = await #expect(throws: LedgerError.self) { try await ledger.run(RunID("x")) }
            #expect(missing?.code == .notFound)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func anEffectIsDoneOnceAndOnlyByItsLastClaim() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            let first = ClaimToken("1")
            let second = ClaimToken("2")
            #expect(try await ledger.claimEffect(run: run, key: "register", token: first) == .first)
            #expect(try await ledger.claimEffect(run: run, key: "register", token: second) == .again)
            let fenced = await #expect(throws: LedgerError.self) {
                try await ledger.recordEffect(
                    run: run, key: "register", token: first, succeeded: true, outcome: ["v": 1])
            }
            #expect(fenced?.code == .refused)
            try await ledger.recordEffect(run: run, key: "register", token: second, succeeded: false, outcome: "no")
            #expect(try await ledger.claimEffect(run: run, key: "register", token: first) == .again)
            try await ledger.recordEffect(run: run, key: "register", token: first, succeeded: true, outcome: ["v": 3])
            #expect(try await ledger.claimEffect(run: run, key: "register", token: second) == .done(["v": 3]))
            #expect(try await ledger.claimEffect(run: run, key: "notify", token: second) == .first)
            #expect(try await ledger.effects(of: run).map(\.key) == ["register", "notify"])
            #expect(try await ledger.run(run).effects.map(\.state) == ["done", "claimed"])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func oneOfManyClaimsOfAnEffectIsTheFirst() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            let firsts = try await withThrowingTaskGroup(of: Bool.self) { group in
                for token in 0..<16 {
                    group.addTask {
                        try await ledger.claimEffect(run: run, key: "k", token: ClaimToken("\(token)")) == .first
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(firsts == 1)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aDutyHasOneLeaderAtATime() async throws {
        try await withLedger { ledger, _ in
            let inner = try await ledger.asLeader(of: .reconciling) {
                let other = try await ledger.asLeader(of: .reconciling) { true }
                let another = try await ledger.asLeader(of: .schedules) { true }
                return [other, another]
            }
            #expect(inner == [nil, true])
            #expect(try await ledger.asLeader(of: .reconciling) { true } == true)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func whatWasLostOnItsWayIsSentAgainAsTheSameAttempt() async throws {
        try await withLedger { ledger, _ in
            let run = try await ledger.start(.chain("a"))
            try await ledger.sendAll()
            let task = TaskID(run: run, stage: "a")
            #expect(try await ledger.sendAgain([(task, 2)]) == 0)
            #expect(try await ledger.sendAgain([(task, 1)]) == 1)
            #expect(try await ledger.sendAgain([]) == 0)
            #expect(try await ledger.task("a", of: run)?.state == .ready)
            // The first message turned up after all: its result counts, and nothing is sent.
            #expect(try await ledger.apply([result(run, "a")]).accepted == 1)
            #expect(try await ledger.sendAll() == 0)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aRunThatStandsStillIsFoundAndSettled() async throws {
        try await withLedger { ledger, client in
            let run = try await ledger.start(.chain("a", "b"))
            try await client.query("UPDATE martlet.tasks SET state = 'succeeded' WHERE stage = 'a'")
            #expect(try await ledger.stuckRuns() == [run])
            #expect(try await ledger.settle([run]).readyPools == ["noop"])
            #expect(try await ledger.stuckRuns().isEmpty)
            #expect(try await ledger.settle([]).accepted == 0)
        }
    }
}
