import Logging
package import MLflowClient
package import Pipeline
import Synchronization
package import WorkerRuntime

/// The MLflow run of one Martlet run: made once, found again by its tag, fed in batches.
///
/// Tracking never holds up or fails a stage while it runs: what cannot be sent waits here, bounded, and is sent with
/// the next batch; what MLflow refuses is dropped and named in the task's log. What a stage logs that is called
/// otherwise than its kind begins with the stage's name, so that two stages of one kind can share the run.
package final class TrackedRun: Sendable {
    private struct Batch {
        var metrics: [MLflowMetric] = []
        var parameters: [String: String] = [:]
        var tags: [String: String] = [:]

        var isEmpty: Bool { metrics.isEmpty && parameters.isEmpty && tags.isEmpty }

        /// What MLflow may take when it refuses the whole: the metrics, and each text.
        var parts: [Batch] {
            (metrics.isEmpty ? [] : [Batch(metrics: metrics)]) + parameters.map { Batch(parameters: [$0: $1]) }
                + tags.map { Batch(tags: [$0: $1]) }
        }

        var names: String {
            (Set(metrics.map(\.key)).sorted() + parameters.keys.sorted() + tags.keys.sorted()).joined(separator: ", ")
        }
    }

    private struct State {
        var mlflowRun: MLflowRun?
        var waiting = Batch()
        var dropped = 0
        var refusals = 0
    }

    /// Metric values that wait, at most.
    private static let maximumWaiting = 50_000
    /// Refusals that the task's log names, at most.
    private static let namedRefusals = 20
    private static let abandonLimit = Duration.seconds(5)

    private let client: MLflowClient
    private let context: StageContext
    private let prefix: String
    private let state = Mutex(State())

    package init(client: MLflowClient, context: StageContext) {
        self.client = client
        self.context = context
        prefix = context.payload.stage == context.payload.kind ? "" : context.payload.stage + "/"
    }

    /// The tag by which a run of MLflow is known to be this run's.
    package static let tag = "martlet.run_id"
    /// The tag that tells which claim of a stage works on the run.
    package static let tokenTag = "martlet.worker_token"

    package func log(metrics: [String: Double], step: Int64, at time: Timestamp) {
        state.withLock { state in
            for (name, value) in metrics {
                guard state.waiting.metrics.count < Self.maximumWaiting else {
                    state.dropped += 1
                    continue
                }
                state.waiting.metrics.append(
                    MLflowMetric(key: prefix + name, value: value, timestamp: time.microseconds / 1_000, step: step))
            }
        }
    }

    package func log(parameters: [String: String], tags: [String: String] = [:]) {
        state.withLock { state in
            for (name, value) in parameters { state.waiting.parameters[prefix + name] = value }
            for (name, value) in tags { state.waiting.tags[prefix + name] = value }
        }
    }

    /// Sends what waits, every few seconds, until cancelled; a run that an earlier attempt ended goes on.
    package func keepSending() async {
        var isOpen = false
        while !Task.isCancelled {
            do { try await Task.sleep(for: .seconds(2)) } catch { return }
            if await send(), !isOpen { isOpen = await reopen() }
        }
    }

    private func reopen() async -> Bool {
        guard let run = state.withLock(\.mlflowRun) else { return false }
        guard run.status != .running else { return true }
        return await set(.running, of: run)
    }

    /// Sends what waits; false when it could not.
    @discardableResult
    package func send() async -> Bool {
        do {
            let run = try await ensure()
            let batch = state.withLock { state in
                defer { state.waiting = Batch() }
                return state.waiting
            }
            guard !batch.isEmpty else { return true }
            do {
                try await client.logBatch(
                    runID: run.id, metrics: batch.metrics, parameters: batch.parameters, tags: batch.tags)
            } catch let error as MLflowError where !error.isRetryable {
                try await sendApart(batch, runID: run.id)
            } catch {
                putBack(batch)
                throw error
            }
            return true
        } catch {
            context.logger.notice("MLflow not reached; metrics wait", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// Sends a batch that was refused in parts. What is refused alone is refused for ever, such as a parameter that has
    /// another value already.
    private func sendApart(_ batch: Batch, runID: String) async throws {
        var failure: (any Error)?
        for part in batch.parts {
            do {
                try await client.logBatch(
                    runID: runID, metrics: part.metrics, parameters: part.parameters, tags: part.tags)
            } catch let error as MLflowError where !error.isRetryable {
                let count = state.withLock { state in
                    state.refusals += 1
                    return state.refusals
                }
                if count <= Self.namedRefusals { context.log.line("MLflow refused \(part.names): \(error)") }
                context.logger.warning("MLflow refused a value", metadata: ["error": "\(error)"])
            } catch {
                putBack(part)
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// What was logged meanwhile is newer.
    private func putBack(_ batch: Batch) {
        state.withLock { state in
            state.waiting.metrics = batch.metrics + state.waiting.metrics
            state.waiting.parameters.merge(batch.parameters) { new, _ in new }
            state.waiting.tags.merge(batch.tags) { new, _ in new }
        }
    }

    /// Sends the rest, and waits for MLflow if it is away.
    /// - Throws: what MLflow said last, when `limit` is over; at once when it refuses the run itself.
    package func finish(status: MLflowRun.Status, limit: Duration) async throws {
        let deadline = ContinuousClock.now + limit
        while true {
            do {
                let run = try await ensure()
                if await send(), await set(status, of: run) { return }
            } catch let error as MLflowError where !error.isRetryable {
                throw error
            } catch  where ContinuousClock.now >= deadline {
                throw error
            } catch {
                context.logger.notice("MLflow not reached; waiting for it", metadata: ["error": "\(error)"])
            }
            guard ContinuousClock.now < deadline else {
                throw StageFailure(.retryable, "mlflow.unreachable", "MLflow took no metrics for \(limit); is it up?")
            }
            try await Task.sleep(for: .seconds(2))
        }
    }

    /// Says that the attempt failed, if MLflow is there; a next attempt opens the run again.
    package func fail() async {
        guard await send(), let run = state.withLock(\.mlflowRun) else { return }
        _ = await set(.failed, of: run)
    }

    /// Says that the attempt was stopped, if MLflow has heard of it and is there; a next attempt opens the run again. One
    /// that has begun meanwhile, because this one's lease was lost, is left alone.
    package func abandon() async {
        guard let run = state.withLock(\.mlflowRun) else { return }
        // A cancelled task cannot send. Unstructured, and bounded: whoever cancelled waits for this.
        let work = Task {
            guard await isOurs(run) else { return }
            await send()
            _ = await set(.killed, of: run)
        }
        let limit = Task {
            try await Task.sleep(for: Self.abandonLimit)
            work.cancel()
        }
        await work.value
        limit.cancel()
    }

    /// Whether no other claim of the stage has put its name on the run; false when MLflow does not say.
    private func isOurs(_ run: MLflowRun) async -> Bool {
        do {
            let name = try await client.run(run.id)?.tags[prefix + Self.tokenTag]
            return name == nil || name == context.token.description
        } catch {
            context.logger.notice("the state of the MLflow run was not set", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// False when MLflow was away. A refusal is no reason to fail: the values are there.
    private func set(_ status: MLflowRun.Status, of run: MLflowRun) async -> Bool {
        do {
            let end = status == .running ? nil : Timestamp.now.microseconds / 1_000
            try await client.updateRun(run.id, status: status, endTime: end)
            return true
        } catch {
            context.logger.notice("the state of the MLflow run was not set", metadata: ["error": "\(error)"])
            return (error as? MLflowError).map { !$0.isRetryable } ?? false
        }
    }

    package var mlflowRunID: String? { state.withLock { $0.mlflowRun?.id } }

    /// The run in MLflow: the one with this run's tag, or a new one.
    package func ensure() async throws -> MLflowRun {
        if let run = state.withLock(\.mlflowRun) { return run }
        let experiment = try await client.getOrCreateExperiment(named: context.payload.pipeline)
        let id = context.payload.run.description
        if let run = try await oldest(experiment.id, id) { return keep(run) }
        let made = try await client.createRun(
            experimentID: experiment.id, name: id, startTime: Timestamp.now.microseconds / 1_000,
            tags: [Self.tag: id, "martlet.pipeline": context.payload.pipeline])
        // Stages of one run may begin at the same moment, each find nothing, and each make one. Whoever made one within
        // these seconds is seen by the others, and all take the same.
        try await Task.sleep(for: .seconds(2))
        let run = try await oldest(experiment.id, id) ?? made
        if run.id != made.id { _ = await set(.killed, of: made) }
        return keep(run)
    }

    private func oldest(_ experiment: String, _ id: String) async throws -> MLflowRun? {
        try await client.searchRuns(
            experimentIDs: [experiment], filter: "tags.`\(Self.tag)` = '\(id)'", limit: 100
        ).min { ($0.startTime ?? 0, $0.id) < ($1.startTime ?? 0, $1.id) }
    }

    private func keep(_ run: MLflowRun) -> MLflowRun {
        state.withLock { $0.mlflowRun = run }
        return run
    }
}
