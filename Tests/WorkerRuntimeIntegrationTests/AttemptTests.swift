import Coordination
import Ledger
import ObjectStorage
import Pipeline
import Telemetry
import TestFleet
import Testing
import WorkerRuntime

/// How one worker treats its attempts.
@Suite struct AttemptTests {
    @Test(.timeLimit(.minutes(3)))
    func aTaskRunsWithItsParametersAndLeavesItsOutputAndLog() async throws {
        var spec = PipelineSpec.single { $0.parameters = ["who": "${who}"] }
        spec.parameters = ["who": "nobody"]
        try await Fleet.with(spec) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [
                ClosureHandler { context in
                    context.log.line("hello \(context.payload.parameters["who"]?.stringValue ?? "?")")
                    return .succeeded(StageOutput(values: ["n": 1], digest: "d"))
                }
            ])
            let id = try await fleet.run("p", parameters: ["who": "world"])
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .succeeded)
            let task = try #require(run.tasks.first)
            #expect(task.output == StageOutput(values: ["n": 1], digest: "d"))
            let key = try #require(task.log)
            let text = String(
                decoding: try await fleet.storage.get(bucket: fleet.bucket, key: key, upTo: 1 << 20), as: UTF8.self)
            #expect(text.hasSuffix("hello world\n"))
            let live = try await fleet.coordinator.readLog(
                TaskID(run: id, stage: "a"), attempt: 1, after: "0", limit: 10)
            #expect(live.lines.count == 1)
        }
    }

    /// The event carries no trace context, so its run begins a trace; every attempt is a step of it.
    @Test(.timeLimit(.minutes(3)))
    func everyRunHasATraceThatItsAttemptsLogUnder() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [
                ClosureHandler { context in
                    let own = try #require(TraceContext.current)
                    #expect(context.traceparent == own.traceparent)
                    return .succeeded(StageOutput(values: ["trace": .string("\(own.traceID)")]))
                }
            ])
            let run = try await fleet.waitForEnd(of: try await fleet.run("p"))
            #expect(run.state == .succeeded)
            let trace = try #require(TraceContext(traceparent: run.traceparent ?? ""))
            #expect(run.tasks.first?.output?.values == ["trace": .string("\(trace.traceID)")])
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func failuresAreRetriedUntilTheyAreTooMany() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [
                ClosureHandler { context in throw Unexpected("attempt \(context.attempt) fails") }
            ])
            let run = try await fleet.waitForEnd(of: try await fleet.run("p"))
            #expect(run.state == .failed)
            #expect(run.failures.map(\.attempt) == [1, 2, 3])
            #expect(run.failures.allSatisfy { $0.failure.class == .retryable })
            #expect(run.tasks.first?.failure?.message.contains("attempt 3 fails") == true)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aPermanentFailureIsNotRetried() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [
                ClosureHandler { _ in throw StageFailure(.permanent, "x.wrong", "the input is wrong\0") }
            ])
            let run = try await fleet.waitForEnd(of: try await fleet.run("p"))
            #expect(run.failures.map(\.failure.code) == ["x.wrong"])
            #expect(run.failures.first?.failure.message == "the input is wrong␀")
            #expect(run.state == .failed)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func anUnknownKindSaysWhatThePoolCanDo() async throws {
        let spec = PipelineSpec.single { stage in
            stage.kind = "other"
            stage.pool = "test"
        }
        try await Fleet.with(spec) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [ClosureHandler { _ in .succeeded(StageOutput()) }])
            let run = try await fleet.waitForEnd(of: try await fleet.run("p"))
            #expect(run.failures.first?.failure.code == "worker.unknown_kind")
            #expect(run.failures.first?.failure.message.contains("it has test") == true)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func anAttemptThatTakesTooLongTimesOut() async throws {
        try await Fleet.with(
            .single { stage in
                stage.timeoutSeconds = 1
                stage.retry.maximumAttempts = 1
            }
        ) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            try await fleet.startWorker(handlers: [
                ClosureHandler { _ in
                    try await gate.pass()
                    return .succeeded(StageOutput())
                }
            ])
            let run = try await fleet.waitForEnd(of: try await fleet.run("p"))
            #expect(run.failures.map(\.failure.class) == [.timeout])
            #expect(run.failures.first?.failure.message.contains("1.0 s") == true)
        }
    }

    /// A handler that needs longer to stop than the lease lasts still ends as a timeout, not as a vanished worker.
    @Test(.timeLimit(.minutes(3)))
    func theLeaseIsKeptWhileAHandlerStops() async throws {
        try await Fleet.with(
            .single { stage in
                stage.timeoutSeconds = 1
                stage.retry.maximumAttempts = 1
            }
        ) { fleet in
            try await fleet.startScheduler()
            try await fleet.startWorker(handlers: [
                ClosureHandler { _ in
                    // Deaf to cancellation for longer than the lease.
                    let end = ContinuousClock.now + .seconds(6)
                    while ContinuousClock.now < end {
                        await Task { try? await Task.sleep(for: .milliseconds(50)) }.value
                    }
                    throw CancellationError()
                }
            ])
            let run = try await fleet.waitForEnd(of: try await fleet.run("p"))
            #expect(run.failures.map(\.failure.class) == [.timeout])
            #expect(run.tasks.first?.losses == 0)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func cancellingARunStopsItsTask() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
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
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            _ = try await fleet.ledger.cancel(id, actor: "test")
            try await fleet.coordinator.setCancelled(id)
            try await stopped.waitForArrivals(1)
            let run = try await fleet.waitForEnd(of: id)
            #expect(run.state == .cancelled)
            #expect(run.tasks.map(\.state) == [.cancelled])
        }
    }

    /// The flag that `cancel` sets may be lost with Redis; the reconciler finds the worker that goes on.
    @Test(.timeLimit(.minutes(3)))
    func cancellingReachesAWorkerEvenWhenTheFlagWasLost() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
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
            let id = try await fleet.run("p")
            try await gate.waitForArrivals(1)
            _ = try await fleet.ledger.cancel(id, actor: "test")
            try await stopped.waitForArrivals(1)
            #expect(try await fleet.ledger.run(id).state == .cancelled)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func progressIsSeenWhileTheTaskRuns() async throws {
        try await Fleet.with(.single()) { fleet in
            try await fleet.startScheduler()
            let gate = Gate()
            try await fleet.startWorker(handlers: [
                ClosureHandler { context in
                    context.report(progress: ["fraction": 0.25])
                    try await gate.pass()
                    return .succeeded(StageOutput())
                }
            ])
            let id = try await fleet.run("p")
            let task = TaskID(run: id, stage: "a")
            try await eventually { try await fleet.coordinator.progress(of: [task])[task] == ["fraction": 0.25] }
            try await fleet.waitForTask("a", of: id) { $0.state == .running && $0.worker == "w1" }
            gate.open()
            #expect(try await fleet.waitForEnd(of: id).state == .succeeded)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func equalWorkIsTakenFromTheCache() async throws {
        let spec = PipelineSpec.single { $0.cache = true }
        try await Fleet.with(spec) { fleet in
            try await fleet.startScheduler()
            let ran = Gate()
            try await fleet.startWorker(handlers: [
                ClosureHandler { context in
                    ran.arrive()
                    return .succeeded(
                        StageOutput(values: ["by": .string(context.payload.run.description)], digest: "d"))
                }
            ])
            let first = try await fleet.run("p")
            #expect(try await fleet.waitForEnd(of: first).state == .succeeded)
            let second = try await fleet.waitForEnd(of: try await fleet.run("p"))
            #expect(second.tasks.first?.output?.cachedFrom == first.description)
            #expect(second.tasks.first?.output?.values["by"]?.stringValue == first.description)
            #expect(ran.arrivals.count == 1)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aHandlerMayRefuseTheCache() async throws {
        try await Fleet.with(.single { $0.cache = true }) { fleet in
            try await fleet.startScheduler()
            let ran = Gate()
            try await fleet.startWorker(handlers: [
                ClosureHandler(validator: nil) { _ in
                    ran.arrive()
                    return .succeeded(StageOutput(digest: "d"))
                }
            ])
            for _ in 0..<2 { try await fleet.waitForEnd(of: try await fleet.run("p")) }
            #expect(ran.arrivals.count == 2)
        }
    }
}
