import AMQPClient
import Broker
import Coordination
import Ledger
import Pipeline
import Scheduler
import TestFleet
import TestServers
import Testing
import WorkerRuntime

/// Workers that stop, vanish, or lose what they hold.
@Suite struct LeaseTests {
    @Test(.timeLimit(.minutes(3)))
    func drainLetsAHandlerSaveAndGiveBack() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            let saver = ClosureHandler { context in
                gate.arrive()
                await context.drain.wait()
                return .released
            }
            let worker = try await fleet.startWorker("w1", handlers: [saver])
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            await worker.stop()
            try await fleet.waitForTask("a", of: id) { $0.attempt == 2 }
            try await fleet.startWorker("w2", handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.failures.isEmpty)
            #expect(run.tasks.first?.failures == 0)
            #expect(run.tasks.first?.losses == 0)
            #expect(run.tasks.first?.worker == "w2")
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func drainEndsAHandlerThatDoesNotListen() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            let deaf = ClosureHandler { _ in
                try await gate.pass()
                return .succeeded(StageOutput())
            }
            let worker = try await fleet.startWorker("w1", handlers: [deaf])
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            await worker.stop()
            try await fleet.waitForTask("a", of: id) { $0.attempt == 2 && $0.losses == 0 }
            #expect(try await fleet.coordinator.workers().isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aWorkerThatVanishesIsReplaced() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            let stuck = ClosureHandler { _ in
                try await gate.pass()
                return .succeeded(StageOutput())
            }
            let first = try await fleet.startWorker("w1", handlers: [stuck])
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            await first.kill()
            try await fleet.startWorker("w2", handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.tasks.first?.worker == "w2")
            #expect(run.tasks.first?.losses == 1)
            #expect(run.failures.map(\.failure.class) == [.lost])
        }
    }

    /// A new process of the same name need not wait for the lease of the one before.
    @Test(.timeLimit(.minutes(3)))
    func aRestartedWorkerTakesOverAtOnce() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler { $0.lease = .seconds(600) }
            let gate = Gate()
            let stuck = ClosureHandler { _ in
                try await gate.pass()
                return .succeeded(StageOutput())
            }
            let first = try await fleet.startWorker("w1", handlers: [stuck]) { $0.lease = .seconds(600) }
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            await first.kill()
            try await fleet.startWorker("w1", handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.tasks.first?.losses == 1)
        }
    }

    /// A worker that cannot renew its lease, as one that was stopped: when it is back its result does not count.
    @Test(.timeLimit(.minutes(3)))
    func aLateResultIsDropped() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            let late = ClosureHandler { _ in
                try await gate.pass()
                return .succeeded(StageOutput(values: ["by": "late"]))
            }
            let first = try await fleet.startWorker("w1", handlers: [late])
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            await first.cutRedis()
            try await fleet.startWorker(
                "w2", handlers: [ClosureHandler { _ in .succeeded(StageOutput(values: ["by": "second"])) }])
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.tasks.first?.output?.values == ["by": "second"])
            gate.open()
            // Its result is published and dropped; the worker then has nothing more to do.
            await first.stop()
            try await eventually { try await fleet.broker.waitingResults() == 0 }
            #expect(try await fleet.ledger.run(id).tasks.first?.output?.values == ["by": "second"])
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aLostLeaseStopsTheHandlerAndReportsNothing() async throws {
        try await Fleet.with(.single()) { fleet in
            let gate = Gate()
            let stopped = Gate()
            try await fleet.startWorker(handlers: [
                ClosureHandler { _ in
                    do {
                        try await gate.pass()
                    } catch {
                        stopped.arrive()
                        throw error
                    }
                    return .succeeded(StageOutput())
                }
            ])
            let scheduler = try await fleet.startScheduler()
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            try await fleet.waitForTask("a", of: id) { $0.state == .running }
            await scheduler.stop()
            // The ledger has gone on to the next attempt.
            try await fleet.coordinator.mirror([(TaskID(run: id, stage: "a"), 2)])
            try await stopped.waitForArrivals(1)
            #expect(try await fleet.broker.waitingResults() == 0)
            #expect(
                try await fleet.coordinator.standings(of: [TaskID(run: id, stage: "a")]).first?.standing == .dispatched)
        }
    }

    /// Long tasks are acknowledged when claimed; the broker must not hand their worker more than it has slots.
    @Test(.timeLimit(.minutes(3)))
    func tasksAcknowledgedEarlyAreSpreadOverTheWorkers() async throws {
        try await Fleet.with(.single { $0.ackPolicy = .onClaim }) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            func handler(_ name: String) -> ClosureHandler {
                ClosureHandler { context in
                    try await gate.pass("\(name) \(context.payload.run)")
                    return .succeeded(StageOutput())
                }
            }
            try await fleet.startWorker("w1", handlers: [handler("w1")])
            try await fleet.startWorker("w2", handlers: [handler("w2")])
            var runs: [RunID] = []
            for _ in 0..<4 { runs.append(try await fleet.run("p")) }
            try await gate.waitForArrivals(2)
            try await eventually { try await fleet.broker.waitingTasks(pool: "test") == 2 }
            #expect(Set(gate.arrivals.map { $0.prefix(2) }) == ["w1", "w2"])
            #expect(gate.arrivals.count == 2)
            // A third worker finds work at once.
            try await fleet.startWorker("w3", handlers: [handler("w3")])
            try await gate.waitForArrivals(3)
            #expect(gate.arrivals.last?.hasPrefix("w3") == true)
            gate.open()
            for run in runs { #expect(try await fleet.waitForEnd(of: run).state == .succeeded) }
            #expect(gate.arrivals.count == 4)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func slotsRunSideBySideAndNeverMore() async throws {
        try await Fleet.with(.single { $0.ackPolicy = .onClaim }) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            try await fleet.startWorker(
                slots: 2,
                handlers: [
                    ClosureHandler { context in
                        try await gate.pass(context.payload.run.description)
                        return .succeeded(StageOutput())
                    }
                ])
            var runs: [RunID] = []
            for _ in 0..<5 { runs.append(try await fleet.run("p")) }
            try await gate.waitForArrivals(2)
            try await eventually { try await fleet.broker.waitingTasks(pool: "test") == 3 }
            #expect(gate.arrivals.count == 2)
            gate.open()
            for run in runs { #expect(try await fleet.waitForEnd(of: run).state == .succeeded) }
            #expect(Set(gate.arrivals).count == 5)
            #expect(gate.arrivals.count == 5)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aLongTaskSurvivesTheLossOfItsWorker() async throws {
        try await Fleet.with(.single { $0.ackPolicy = .onClaim }) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            let first = try await fleet.startWorker(
                "w1",
                handlers: [
                    ClosureHandler { _ in
                        try await gate.pass()
                        return .succeeded(StageOutput())
                    }
                ])
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            try await fleet.waitForTask("a", of: id) { $0.state == .running }
            await first.kill()
            try await fleet.startWorker("w2", handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.tasks.first?.losses == 1)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aMessageThatIsNoTaskIsKeptAsADeadLetter() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            try await fleet.publishTask(raw: Array("no task".utf8), pool: "test")
            try await eventually { try await fleet.ledger.counts().deadLetters == 1 }
            let letter = try #require(try await fleet.ledger.deadLetters(limit: 1).first)
            #expect(letter.queue == "martlet.tasks.test")
            #expect(try await fleet.ledger.deadLetter(letter.id).body == Array("no task".utf8))
            #expect(try await fleet.waitForEnd(of: try await fleet.run("p")).state == .succeeded)
        }
    }

    /// A store that takes connections and says nothing holds up neither heartbeats nor the result.
    @Test(.timeLimit(.minutes(3)))
    func aSilentStoreCostsNoLease() async throws {
        try await Fleet.with(.single()) { fleet in
            let listener = try SilentListener()
            try await fleet.startScheduler()
            let gate = Gate()
            try await fleet.startWorker(
                storage: try fleet.silentStorage(listener),
                handlers: [
                    ClosureHandler { context in
                        context.log.line("something to store")
                        try await gate.pass()
                        return .succeeded(StageOutput())
                    }
                ]
            ) { $0.logInterval = .milliseconds(100) }
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            // Renewed every second, again and again, for longer than the lease of three seconds.
            for _ in 0..<4 { try await fleet.waitForRenewal(of: TaskID(run: id, stage: "a")) }
            gate.open()
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.tasks.first?.attempt == 1)
            #expect(run.tasks.first?.losses == 0)
        }
    }

    /// The broker lost its data, and no scheduler has declared its queues again yet.
    @Test(.timeLimit(.minutes(3)))
    func aResultWithoutAQueueIsNeitherLostNorAFailure() async throws {
        try await Fleet.with(.single()) { fleet in
            let scheduler = try await fleet.startScheduler()
            let gate = Gate()
            try await fleet.startWorker(handlers: [
                ClosureHandler { _ in
                    try await gate.pass()
                    return .succeeded(StageOutput(values: ["n": 1]))
                }
            ])
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            await scheduler.stop()
            try await fleet.broker.client.deleteQueue(Topology.resultsQueue)
            gate.open()
            try await eventually {
                try await fleet.broker.client.queueStatus(Topology.resultsQueue)?.readyMessages ?? 0 > 0
            }
            try await fleet.startScheduler()
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            #expect(run.tasks.first?.attempt == 1)
            #expect(run.tasks.first?.output?.values == ["n": 1])
        }
    }
}
