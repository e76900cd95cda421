import AMQPClient
import Broker
import Coordination
import Logging
import ObjectStorage
import Pipeline
import Telemetry

/// One attempt, from its delivery to its acknowledgement: claim, run, commit, report, ack.
struct TaskExecution: Sendable {
    let services: WorkerServices
    let configuration: WorkerConfiguration
    let metrics: WorkerMetrics
    let drain: DrainSignal
    let ticker: Ticker
    let calls: WorkerCalls
    let delivery: AMQPDelivery
    let event: CloudEvent<TaskPayload>
    let payload: TaskPayload
    let attempt: Int
    let token: ClaimToken
    /// This attempt's step of the run's trace.
    let trace: TraceContext
    let log = TaskLog()
    let reporter = ProgressReporter()
    let logger: Logger

    /// Claims and runs; the delivery is settled in every case.
    /// - Parameter willAckEarly: called before the delivery of a task that goes on running is acknowledged.
    func run(willAckEarly: @Sendable () async -> Void) async {
        guard let outcome = await claim() else {
            // The worker stops before Redis answered: somebody else may take it.
            delivery.nack(requeue: true)
            return
        }
        metrics.claimed(outcome, sentAt: event.time)
        guard outcome == .claimed else {
            // Whatever is to happen next, the ledger knows: the message has done its duty.
            logger.debug("claim refused", metadata: ["outcome": "\(outcome)"])
            delivery.ack()
            return
        }
        let isAcked = payload.ackPolicy == .onClaim
        if isAcked {
            await willAckEarly()
            delivery.ack()
        }
        let startedAt = Timestamp.now
        let verdict = Verdict()
        let watcher = TaskWatcher(execution: self, keeper: leaseKeeper(), startedAt: startedAt, verdict: verdict)
        let watch = ticker.add(watcher)
        defer { ticker.remove(watch) }
        let ending = await perform(verdict)
        watcher.beginReport()
        if ending == .stopped(.leaseLost) {
            log.line("the lease was lost to another worker; this attempt's work is thrown away")
            logger.warning("lease lost; result thrown away")
            metrics.leaseLost()
        } else if await !report(ending, startedAt: startedAt) {
            if !isAcked { delivery.nack(requeue: true) }
            return
        }
        if !isAcked { delivery.ack() }
    }

    // MARK: Claim

    /// Nil when the worker was told to stop before Redis answered.
    private func claim() async -> Coordinator.ClaimOutcome? {
        var delay = Duration.milliseconds(50)
        while !drain.isSet {
            do {
                return try await calls.claim(ownClaim)
            } catch is CancellationError {
                return nil
            } catch {
                logger.warning("claim failed; trying again", metadata: ["error": "\(error)"])
                // The reply may be lost although the claim was made: the script knows its token when it comes again.
                do { try await Task.sleep(for: delay) } catch { return nil }
                delay = min(delay * 2, .seconds(2))
            }
        }
        return nil
    }

    private var ownClaim: Coordinator.Claim {
        Coordinator.Claim(
            task: payload.task, attempt: attempt, token: token, isUncancellable: payload.isUncancellable)
    }

    private func leaseKeeper() -> LeaseKeeper {
        LeaseKeeper(
            coordinator: services.coordinator, configuration: configuration, task: payload.task, attempt: attempt,
            token: token, isUncancellable: payload.isUncancellable, reporter: reporter)
    }

    // MARK: Run

    enum Ending: Sendable, Equatable {
        case finished(TaskResult.Outcome, StageOutput?)
        case failed(Failure)
        case stopped(LeaseKeeper.Stop)
    }

    private func perform(_ verdict: Verdict) async -> Ending {
        guard let handler = services.handlers[payload.kind] else {
            let known = services.handlers.keys.sorted().joined(separator: ", ")
            return .failed(
                Failure(
                    class: .permanent, code: "worker.unknown_kind",
                    message:
                        "pool \(configuration.pool) has no handler for stages of kind \(payload.kind); it has \(known)")
            )
        }
        let workspace = Workspace(
            path: configuration.workDirectory + "/\(payload.run)-\(payload.stage)-\(attempt)-\(token)")
        let context = StageContext(
            payload: payload, attempt: attempt, token: token, traceparent: trace.traceparent,
            storage: services.storage, bucket: configuration.bucket, log: log, logger: logger, drain: drain,
            workspace: workspace, reporter: reporter)
        let ending = await verdict.await { await run(handler, context) }
        do {
            try workspace.remove()
        } catch {
            logger.warning("workspace not removed", metadata: ["error": "\(error)"])
        }
        return ending
    }

    private func run(_ handler: any StageHandler, _ context: StageContext) async -> Ending? {
        do {
            let cache = StageCache(storage: services.storage, bucket: configuration.bucket)
            var key: String?
            if payload.cache, let validator = try await handler.cacheValidator(context) {
                key = cache.key(for: payload, version: handler.version, validator: validator)
            }
            if let key, let entry = try await cache.find(kind: payload.kind, key: key) {
                var output = entry.output
                output.cachedFrom = entry.run.description
                metrics.cacheHit()
                log.line("taken from the cache: the output of run \(entry.run), made \(entry.createdAt)")
                return .finished(.succeeded, output)
            }
            switch try await handler.run(context) {
            case .succeeded(let output):
                if let key { await remember(output, as: key, in: cache) }
                return .finished(.succeeded, output)
            case .rejected(let output): return .finished(.rejected, output)
            case .released: return .finished(.released, nil)
            }
        } catch {
            // A handler that was cancelled has nothing to say; whoever cancelled it has.
            if Task.isCancelled { return nil }
            return .failed(FailureClassifier.failure(for: error))
        }
    }

    /// The work is done whether or not somebody can be spared it another time.
    private func remember(_ output: StageOutput, as key: String, in cache: StageCache) async {
        do {
            try await cache.store(output, kind: payload.kind, key: key, run: payload.run)
        } catch {
            logger.warning("output not cached", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Report

    private var logKey: String { "runs/\(payload.run)/\(payload.stage)/logs/\(attempt).log" }

    /// - Returns: false when this process ends before the broker has the result.
    private func report(_ ending: Ending, startedAt: Timestamp) async -> Bool {
        var result = TaskResult(
            task: payload.task, attempt: attempt, token: token, worker: configuration.id, outcome: .succeeded,
            startedAt: startedAt, finishedAt: .now)
        switch ending {
        case .finished(let outcome, let output):
            result.outcome = outcome
            result.output = output
        case .failed(let failure):
            result.outcome = .failed
            result.failure = failure
            log.line("failed (\(failure.class.rawValue), \(failure.code)): \(failure.message)")
        case .stopped: result.outcome = .cancelled
        }
        metrics.ended(
            kind: payload.kind, isKnown: services.handlers[payload.kind] != nil, outcome: result.outcome,
            seconds: result.finishedAt.seconds - startedAt.seconds)
        if !log.isEmpty { result.log = logKey }
        // The watcher keeps the lease meanwhile: it must outlast stores and a broker that are away, or the work would be
        // done again.
        if !log.isEmpty { await storeLog(within: configuration.lease / 2) }
        guard await publish(result) else { return false }
        await calls.end(ownClaim)
        return true
    }

    /// Until the broker has it: the work is done, and only this process knows.
    private func publish(_ result: TaskResult) async -> Bool {
        var result = result
        var delay = Duration.milliseconds(100)
        while true {
            do {
                let report = Broker.Report(result, traceparent: trace.traceparent, tracestate: trace.tracestate)
                try await calls.send(report)
                return true
            } catch let error as AMQPError where error.code.isOfTheMessage {
                guard result.output != nil else {
                    logger.error("result cannot be published", metadata: ["error": "\(error)"])
                    return false
                }
                result.outcome = .failed
                result.output = nil
                result.failure = Failure(
                    class: .permanent, code: "worker.result_refused", message: "the result cannot be sent: \(error)")
            } catch {
                logger.warning("result not confirmed; sending it again", metadata: ["error": "\(error)"])
                do {
                    try await Task.sleep(for: delay)
                    // The queue of results may be gone with the broker's data.
                    if (error as? AMQPError)?.isRetryable == false { try await services.broker.declare() }
                } catch is CancellationError {
                    return false
                } catch {
                    logger.warning("queues not declared", metadata: ["error": "\(error)"])
                }
                delay = min(delay * 2, .seconds(5))
            }
        }
    }

    // MARK: Log

    /// Sends new lines to those who follow the log live. Losing some is no loss: the store gets all of them.
    func pumpLog() async {
        let lines = log.takeUnsent()
        guard !lines.isEmpty else { return }
        do {
            try await services.coordinator.appendLog(payload.task, attempt: attempt, lines: lines)
        } catch {
            logger.debug("live log not sent", metadata: ["error": "\(error)"])
        }
    }

    /// Stores what the log has grown by; a store that does not answer is given up after `limit`.
    func storeLog(within limit: Duration) async {
        await pumpLog()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await uploadLog() }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    func uploadLog() async {
        guard let (bytes, mark) = log.unstored() else { return }
        do {
            _ = try await services.storage.put(
                bytes, bucket: configuration.bucket, key: logKey, contentType: "text/plain; charset=utf-8")
            log.stored(upTo: mark)
        } catch {
            logger.warning("task log not stored", metadata: ["key": "\(logKey)", "error": "\(error)"])
        }
    }
}
