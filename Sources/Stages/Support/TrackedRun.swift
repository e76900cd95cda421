import Logging
package import MLflowClient
package import Pipeline
import Synchronization
package import WorkerRuntime

/// The MLflow run of one Martlet run: made once, found again by its tag, fed in batches.
///
/// Tracking never holds up or fails a stage while it runs: what cannot be sent waits here, bounded, and is sent with
/// the next batch.
package final class TrackedRun: Sendable {
    private struct State {
        var mlflowRun: MLflowRun?
        var metrics: [MLflowMetric] = []
        var parameters: [String: String] = [:]
        var tags: [String: String] = [:]
        var dropped = 0
    }

    /// Metric values that wait, at most.
    private static let maximumWaiting = 50_000

    private let client: MLflowClient
    private let context: StageContext
    private let state = Mutex(State())

    package init(client: MLflowClient, context: StageContext) {
        self.client = client
        self.context = context
    }

    /// The tag by which a run of MLflow is known to be this run's.
    package static let tag = "martlet.run_id"

    package func log(metrics: [String: Double], step: Int64, at time: Timestamp) {
        state.withLock { state in
            for (name, value) in metrics {
                guard state.metrics.count < Self.maximumWaiting else {
                    state.dropped += 1
                    continue
                }
                state.metrics.append(
                    MLflowMetric(key: name, value: value, timestamp: time.microseconds / 1_000, step: step))
            }
        }
    }

    package func log(parameters: [String: String], tags: [String: String] = [:]) {
        state.withLock { state in
            state.parameters.merge(parameters) { _, new in new }
            state.tags.merge(tags) { _, new in new }
        }
    }

    /// Sends what waits, every few seconds, until cancelled.
    package func keepSending() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: .seconds(2)) } catch { return }
            await send()
        }
    }

    /// Sends what waits; false when it could not.
    @discardableResult
    package func send() async -> Bool {
        do {
            let run = try await ensure()
            let (metrics, parameters, tags) = state.withLock { state in
                defer {
                    state.metrics = []
                    state.parameters = [:]
                    state.tags = [:]
                }
                return (state.metrics, state.parameters, state.tags)
            }
            guard !metrics.isEmpty || !parameters.isEmpty || !tags.isEmpty else { return true }
            do {
                try await client.logBatch(runID: run.id, metrics: metrics, parameters: parameters, tags: tags)
                return true
            } catch {
                state.withLock { state in
                    state.metrics = metrics + state.metrics
                    state.parameters.merge(parameters) { new, _ in new }
                    state.tags.merge(tags) { new, _ in new }
                }
                throw error
            }
        } catch {
            context.logger.notice("MLflow not reached; metrics wait", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// Sends the rest, and waits for MLflow if it is away.
    /// - Throws: what MLflow said last, when `limit` is over.
    package func finish(status: MLflowRun.Status?, limit: Duration) async throws {
        let deadline = ContinuousClock.now + limit
        while true {
            do {
                let run = try await ensure()
                if await send() {
                    if let status {
                        try await client.updateRun(
                            run.id, status: status, endTime: Timestamp.now.microseconds / 1_000)
                    }
                    return
                }
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

    package var mlflowRunID: String? { state.withLock { $0.mlflowRun?.id } }

    /// The run in MLflow: the one with this run's tag, or a new one.
    package func ensure() async throws -> MLflowRun {
        if let run = state.withLock(\.mlflowRun) { return run }
        let experiment = try await client.getOrCreateExperiment(named: context.payload.pipeline)
        let id = context.payload.run.description
        let found = try await client.searchRuns(
            experimentIDs: [experiment.id], filter: "tags.`\(Self.tag)` = '\(id)'", limit: 10)
        // Two workers may have made one each; the oldest counts, for everybody.
        let run: MLflowRun
        if let oldest = found.min(by: { ($0.startTime ?? 0, $0.id) < ($1.startTime ?? 0, $1.id) }) {
            run = oldest
        } else {
            run = try await client.createRun(
                experimentID: experiment.id, name: id, startTime: Timestamp.now.microseconds / 1_000,
                tags: [Self.tag: id, "martlet.pipeline": context.payload.pipeline])
        }
        state.withLock { $0.mlflowRun = run }
        return run
    }
}
