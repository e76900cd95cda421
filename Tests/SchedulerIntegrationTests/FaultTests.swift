import AMQPClient
import Broker
import Coordination
import Ledger
import Pipeline
import Scheduler
import TestFleet
import Testing
import WorkerRuntime

/// Everything that may be lost in mid-run, and what may run twice.
@Suite struct FaultTests {
    private static let diamond = PipelineSpec(
        name: "diamond",
        stages: [
            StageSpec(name: "a", kind: "test"),
            StageSpec(name: "b", kind: "test", needs: ["a"]),
            StageSpec(name: "c", kind: "test", needs: ["a"], ackPolicy: .onClaim),
            StageSpec(name: "d", kind: "test", needs: ["b", "c"]),
            StageSpec(name: "tell", kind: "test", condition: .always),
        ])

    @Test(.timeLimit(.minutes(3)))
    func twoSchedulersAndTwoWorkersRunManyRunsOnce() async throws {
        try await Fleet.with(Self.diamond) { fleet in
            try await fleet.startScheduler()
            try await fleet.startScheduler()
            let ran = Gate()
            let handler = ClosureHandler { context in
                ran.arrive(context.task.description)
                return .succeeded(StageOutput(values: ["stage": .string(context.payload.stage)]))
            }
            try await fleet.startWorker("w1", slots: 8, handlers: [handler])
            try await fleet.startWorker("w2", slots: 8, handlers: [handler])
            for index in 0..<40 { try await fleet.publish("diamond", id: "e\(index % 30)") }
            try await eventually {
                try await fleet.ledger.listRuns(state: .succeeded, pipeline: nil, limit: 100).count == 30
            }
            try await eventually { ran.arrivals.count >= 150 }
            let runs = try await fleet.ledger.listRuns(state: nil, pipeline: nil, limit: 100)
            #expect(runs.count == 30)
            #expect(ran.arrivals.count == 150)
            #expect(Set(ran.arrivals).count == 150)
            #expect(try await fleet.ledger.counts().deadLetters == 0)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func losingRedisAndEveryQueueInMidRunLosesNothing() async throws {
        try await Fleet.with(Self.diamond) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            let ran = Gate()
            let handler = ClosureHandler { context in
                if context.payload.stage == "b" { try await gate.pass() }
                ran.arrive(context.payload.stage)
                return .succeeded(StageOutput())
            }
            try await fleet.startWorker("w1", slots: 1, handlers: [handler])
            let id = try await fleet.run("diamond")
            try await gate.waitForArrivals(1)
            // `b` runs; the only slot is taken, so `c` waits in the queue that is emptied now.
            try await fleet.waitForTask("c", of: id) { $0.state != .pending }
            try await fleet.flushRedis()
            try await fleet.purgeQueues(pools: ["test"])
            try await eventually {
                try await fleet.coordinator.standings(of: [TaskID(run: id, stage: "b")]).first?.standing == .alive
            }
            gate.open()
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.tasks.first { $0.stage == "b" }?.attempt == 1)
            #expect(run.failures.isEmpty)
            #expect(ran.arrivals.sorted() == ["a", "b", "c", "d", "tell"])
        }
    }

    /// The worker's result was confirmed and then lost with the queue.
    @Test(.timeLimit(.minutes(3)))
    func aResultThatIsLostWithItsQueueIsWorkedForAgain() async throws {
        try await Fleet.with(PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "test")])) { fleet in
            let scheduler = try await fleet.startScheduler()
            let gate = Gate()
            try await fleet.startWorker(handlers: [
                ClosureHandler { context in
                    if context.attempt == 1 { try await gate.pass() }
                    return .succeeded(StageOutput())
                }
            ])
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            await scheduler.stop()
            gate.open()
            try await eventually { try await fleet.broker.waitingResults() > 0 }
            let task = TaskID(run: id, stage: "a")
            try await eventually { try await fleet.coordinator.standings(of: [task]).first?.standing == .done }
            try await fleet.purgeQueues(pools: ["test"])
            try await fleet.startScheduler()
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.tasks.first?.attempt == 2)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func theOnlySchedulerMayBeReplaced() async throws {
        try await Fleet.with(Self.diamond) { fleet in
            let gate = Gate()
            try await fleet.startWorker(
                slots: 4,
                handlers: [
                    ClosureHandler { context in
                        if context.payload.stage == "b" { try await gate.pass() }
                        return .succeeded(StageOutput())
                    }
                ])
            let first = try await fleet.startScheduler()
            let id = try await fleet.run("diamond")
            try await gate.waitForArrivals(1)
            await first.stop()
            gate.open()
            try await fleet.startScheduler()
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.tasks.allSatisfy { $0.attempt == 1 })
        }
    }

    /// Queues deleted under the scheduler: it declares them and subscribes again.
    @Test(.timeLimit(.minutes(3)))
    func deletedQueuesComeBack() async throws {
        try await Fleet.with(PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "test")])) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            #expect(try await fleet.waitForEnd(of: try await fleet.run("p")).state == .succeeded)
            for queue in ["martlet.scheduler.events", "martlet.scheduler.results", "martlet.tasks.test"] {
                try await fleet.broker.client.deleteQueue(queue)
            }
            try await eventually {
                for queue in ["martlet.scheduler.events", "martlet.scheduler.results", "martlet.tasks.test"] {
                    guard try await fleet.broker.client.queueStatus(queue)?.consumers ?? 0 > 0 else { return false }
                }
                return true
            }
            #expect(try await fleet.waitForEnd(of: try await fleet.run("p")).state == .succeeded)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aBacklogIsSentInWindowsAsFastAsItIsWorkedOff() async throws {
        try await Fleet.with(PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "test")])) { fleet in
            try await fleet.startScheduler()
            for index in 0..<300 { try await fleet.publish("p", id: "e\(index)") }
            try await eventually { try await fleet.ledger.counts().runsAlive == 300 }
            // Without a worker only the smallest window is out, of 4; and what runs that began meanwhile were promised.
            #expect(try await fleet.broker.waitingTasks(pool: "test") ?? 0 < 16)
            let start = ContinuousClock.now
            try await fleet.startWorker(slots: 1, handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            try await eventually { try await fleet.ledger.counts().runsAlive == 0 }
            // One window of 4 a second would take 75 s.
            #expect(ContinuousClock.now - start < .seconds(60))
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aScheduleTicksOnceForTwoSchedulers() async throws {
        let spec = PipelineSpec(
            name: "p", stages: [StageSpec(name: "a", kind: "test")],
            schedules: [ScheduleSpec(name: "s", cron: "* * * * *")])
        try await Fleet.with(spec) { fleet in
            // The last tick was five minutes ago: the latest that was missed stands for all.
            let past = Timestamp.now.advanced(by: .seconds(-300))
            try await fleet.ledger.recordTick(pipeline: "p", schedule: "s", tick: past)
            try await fleet.startScheduler()
            try await fleet.startScheduler()
            try await eventually { try await fleet.ledger.listRuns(state: nil, pipeline: "p", limit: 10).count >= 1 }
            let run = try #require(try await fleet.ledger.listRuns(state: nil, pipeline: "p", limit: 10).first)
            let record = try await fleet.ledger.run(run.id)
            #expect(record.eventSource == "/martlet/schedule/p/s")
            #expect(try await fleet.ledger.listRuns(state: nil, pipeline: "p", limit: 10).count <= 2)
        }
    }

    /// The message is refused by every worker, and would be sent again for ever.
    @Test(.timeLimit(.minutes(3)))
    func aTaskThatNoWorkerCanReadIsDead() async throws {
        try await Fleet.with(PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "test")])) { fleet in
            try await fleet.startScheduler()
            let id = try await fleet.run("p")
            try await fleet.waitForTask("a", of: id) { $0.state == .dispatched }
            try await fleet.purgeQueues(pools: ["test"])
            try await fleet.publishTask(raw: Array("{}".utf8), pool: "test", messageID: "\(id)/a/1")
            try await fleet.startWorker(handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .failed)
            #expect(run.tasks.first?.failure?.class == .poison)
            #expect(run.tasks.first?.failure?.code == "task.undeliverable")
            // The letter is kept after the attempt is ended.
            try await eventually { try await fleet.ledger.counts().deadLetters == 1 }
        }
    }

    /// What a stage is given may be more than an event: here its parameter comes twice.
    @Test(.timeLimit(.minutes(3)))
    func aTaskThatCannotBeSentIsDeadAndDoesNotHoldUpOthers() async throws {
        let big = PipelineSpec(
            name: "big", parameters: ["x": ""],
            stages: [StageSpec(name: "a", kind: "test", parameters: ["one": "${x}", "two": "${x}"])])
        try await Fleet.with(big, PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "test")])) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let long = JSONValue.string(String(repeating: "x", count: Broker.maximumMessageBytes * 3 / 4))
            let id = try await fleet.run("big", parameters: ["x": long])
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .failed)
            #expect(run.tasks.first?.failure?.code == "task.unsendable")
            #expect(try await fleet.waitForEnd(of: try await fleet.run("p")).state == .succeeded)
        }
    }

    /// A queue of the pool's name with other arguments, made by somebody else.
    @Test(.timeLimit(.minutes(3)))
    func aPoolThatCannotBeServedDoesNotHoldUpOthers() async throws {
        let both = PipelineSpec(
            name: "both",
            stages: [StageSpec(name: "a", kind: "test"), StageSpec(name: "b", kind: "test", pool: "taken")])
        try await Fleet.with(both) { fleet in
            try await fleet.takeQueue(ofPool: "taken")
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let id = try await fleet.run("both")
            try await fleet.waitForTask("a", of: id) { $0.state == .succeeded }
            #expect(try await fleet.state(of: "b", in: id) == .ready)
        }
    }

    /// A word about an attempt that PostgreSQL cannot store must not stand before all that comes after it.
    @Test(.timeLimit(.minutes(3)))
    func aStartThatCannotBeStoredHoldsNothingUp() async throws {
        try await Fleet.with(PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "test")])) { fleet in
            try await fleet.broker.publish(
                TaskStarted(
                    task: TaskID(run: RunID("r"), stage: "a"), attempt: 1, token: ClaimToken("t"), worker: "w\0",
                    startedAt: .now), traceparent: nil, tracestate: nil, timeout: .seconds(10))
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            #expect(try await fleet.waitForEnd(of: try await fleet.run("p")).state == .succeeded)
            #expect(try await fleet.ledger.counts().deadLetters == 1)
        }
    }

    /// One message has several results: one that cannot be read, or stored, takes none of the others with it.
    @Test(.timeLimit(.minutes(3)))
    func aBadResultInABatchCostsNoOther() async throws {
        try await Fleet.with(PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "test")])) { fleet in
            // More results than one transaction takes.
            try await fleet.startScheduler { $0.resultBatch = 2 }
            let ids = [try await fleet.run("p"), try await fleet.run("p"), try await fleet.run("p")]
            let results = ids.map { id in
                TaskResult(
                    task: TaskID(run: id, stage: "a"), attempt: 1, token: ClaimToken("t"), worker: "w",
                    outcome: .succeeded, output: StageOutput(values: ["n": 1]), startedAt: .now, finishedAt: .now)
            }
            var unstorable = results[1]
            unstorable.output = StageOutput(values: ["text": "nul\0"])
            let events = [results[0], unstorable, results[2]].map { result in
                #"{"specversion":"1.0","type":"dev.martlet.task.result.v1","source":"/test","id":"\#(result.task)","#
                    + #""data":\#(result.json)}"#
            }
            try await fleet.broker.client.publish(
                AMQPMessage(
                    body: Array(
                        "[\(events[0]),{\"no\":\"event\"},\(events[1]),7,8,[],\(events[2])]".utf8),
                    contentType: "application/cloudevents-batch+json", type: MessageType.taskResult),
                to: Topology.results, routingKey: Topology.resultsQueue, timeout: .seconds(10))
            let runs = [
                try await fleet.waitForEnd(of: ids[0]), try await fleet.waitForEnd(of: ids[1]),
                try await fleet.waitForEnd(of: ids[2]),
            ]
            #expect(runs.map(\.state) == [.succeeded, .failed, .succeeded])
            #expect(runs[1].tasks.first?.failure?.code == "scheduler.result_refused")
            #expect(try await fleet.ledger.counts().deadLetters == 1)
            let letter = try #require(try await fleet.ledger.deadLetters(limit: 1).first)
            #expect(letter.reason.contains("event 2 of 7"))
            #expect(letter.reason.contains("and 1 more"))
            try await eventually { try await fleet.broker.waitingResults() == 0 }
        }
    }

    /// Telling of a cancelled run may take longer than the reconciler's rounds, which keep its flag in Redis.
    @Test(.timeLimit(.minutes(3)))
    func whatAlwaysRunsAlsoRunsAfterACancellation() async throws {
        let spec = PipelineSpec(
            name: "p",
            stages: [StageSpec(name: "a", kind: "test"), StageSpec(name: "tell", kind: "test", condition: .always)])
        try await Fleet.with(spec) { fleet in
            try await fleet.startScheduler()
            let work = Gate()
            let tell = Gate()
            try await fleet.startWorker(
                slots: 2,
                handlers: [
                    ClosureHandler { context in
                        let gate = context.payload.stage == "tell" ? tell : work
                        try await gate.pass()
                        return .succeeded(StageOutput())
                    }
                ])
            let id = try await fleet.run("p")
            try await work.waitForArrivals(1)
            try await fleet.coordinator.setCancelled(id)
            _ = try await fleet.ledger.cancel(id, actor: "test")
            try await tell.waitForArrivals(1)
            // The reconciler has seen the worker at it, and has put the flag back if it was gone.
            try await fleet.coordinator.clearCancelled(id)
            try await eventually { try await fleet.redisHasCancelFlag(of: id) }
            // Two more heartbeats.
            for _ in 0..<2 {
                try await fleet.waitForRenewal(of: TaskID(run: id, stage: "tell"))
            }
            tell.open()
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .cancelled)
            #expect(try await fleet.state(of: "tell", in: id) == .succeeded)
            #expect(try await fleet.state(of: "a", in: id) == .cancelled)
        }
    }

    /// The scheduler died after the transaction that dispatched the task, before the broker had the message.
    @Test(.timeLimit(.minutes(3)))
    func aTaskThatWasDispatchedAndNeverSentIsFound() async throws {
        let spec = PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "test")])
        try await Fleet.with(spec) { fleet in
            var generator = SystemRandomNumberGenerator()
            let run = NewRun(
                id: RunID(at: .now, using: &generator), pipeline: spec,
                pipelineDigest: String(repeating: "1", count: 64),
                parameters: [:], priority: 0, eventSource: "/test", eventID: "e", traceparent: nil, tracestate: nil)
            let accepted = try await fleet.ledger.accept([run], grant: { _ in true })
            #expect(accepted.handoffs.map(\.task.run) == [run.id])
            #expect(try await fleet.state(of: "a", in: run.id) == .dispatched)
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let record = try await fleet.waitForEnd(of: run.id)
            #expect(record.state == .succeeded)
            #expect(record.tasks.first?.attempt == 1)
        }
    }
}
