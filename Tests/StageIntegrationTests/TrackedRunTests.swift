import Foundation
import MLflowClient
import ModelStages
import Pipeline
import StageSupport
import Testing

@testable import WorkerRuntime

/// One MLflow run for all stages of a run, whatever they log.
@Suite struct TrackedRunTests {
    private func runs(_ bench: Workbench, _ mlflow: MLflowClient, of run: RunID) async throws -> [MLflowRun] {
        let experiment = try #require(try await mlflow.experiment(named: bench.name))
        return try await mlflow.searchRuns(
            experimentIDs: [experiment.id], filter: "tags.`\(TrackedRun.tag)` = '\(run)'", limit: 10)
    }

    private func parameters(_ rate: Double) -> JSONValue { ["learning_rate": .double(rate)] }

    @Test(.timeLimit(.minutes(4)))
    func twoStagesOfOneKindKeepTheirValuesApart() async throws {
        try await Workbench.with { bench in
            let mlflow = try await bench.mlflow()
            let run = RunID.fresh()
            for (stage, rate) in [("train", 0.1), ("train-b", 0.2)] {
                let context = bench.context("train", run: run, parameters: parameters(rate), stage: stage)
                let tracked = TrackedRun(client: mlflow, context: context)
                tracked.log(parameters: ["learning_rate": "\(rate)"])
                tracked.log(metrics: ["train/loss": rate], step: 1, at: .now)
                try await tracked.finish(status: .finished, limit: .seconds(60))
                #expect(!context.log.text.contains("refused"))
            }
            let found = try await runs(bench, mlflow, of: run)
            let tracked = try #require(found.first)
            #expect(found.count == 1)
            #expect(tracked.status == .finished)
            #expect(tracked.parameters["learning_rate"] == "0.1")
            #expect(tracked.parameters["train-b/learning_rate"] == "0.2")
            let metrics = Dictionary(uniqueKeysWithValues: tracked.metrics.map { ($0.key, $0.value) })
            #expect(metrics == ["train/loss": 0.1, "train-b/train/loss": 0.2])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func whatIsRefusedIsNamedAndDroppedAndTheRestArrives() async throws {
        try await Workbench.with { bench in
            let mlflow = try await bench.mlflow()
            let run = RunID.fresh()
            let first = TrackedRun(client: mlflow, context: bench.context("train", run: run, parameters: [:]))
            first.log(parameters: ["seed": "1"])
            #expect(await first.send())

            let context = bench.context("train", run: run, parameters: [:])
            let second = TrackedRun(client: mlflow, context: context)
            second.log(parameters: ["seed": "2", "epochs": "3"], tags: ["martlet.stage": "train"])
            second.log(metrics: ["train/loss": 0.5], step: 1, at: .now)
            let began = ContinuousClock.now
            try await second.finish(status: .finished, limit: .seconds(600))
            #expect(ContinuousClock.now - began < .seconds(120), "a refusal is not waited out")
            #expect(context.log.text.contains("MLflow refused seed"))
            let tracked = try #require(try await runs(bench, mlflow, of: run).first)
            #expect(tracked.parameters["seed"] == "1")
            #expect(tracked.parameters["epochs"] == "3")
            #expect(tracked.tags["martlet.stage"] == "train")
            #expect(tracked.metrics.map(\.value) == [0.5])
        }
    }

    /// A run that is cancelled must not look for ever as if it went on.
    @Test(.timeLimit(.minutes(4)))
    func aStoppedAttemptIsClosedAndTheNextOpensItsRunAgain() async throws {
        try await Workbench.with { bench in
            let mlflow = try await bench.mlflow()
            let run = RunID.fresh()
            let stopped = TrackedRun(client: mlflow, context: bench.context("train", run: run, parameters: [:]))
            await stopped.abandon()
            let experiment = try await mlflow.experiment(named: bench.name)
            #expect(experiment == nil, "what MLflow has not heard of is not made for this")

            #expect(await stopped.send())
            stopped.log(metrics: ["train/loss": 0.5], step: 1, at: .now)
            let work = Task {
                // Ends when it is cancelled, as a handler does.
                try? await Task.sleep(for: .seconds(600))
                await stopped.abandon()
            }
            work.cancel()
            await work.value
            let killed = try #require(try await runs(bench, mlflow, of: run).first)
            #expect(killed.status == .killed)
            #expect(killed.metrics.map(\.value) == [0.5])

            let next = TrackedRun(client: mlflow, context: bench.context("train", run: run, parameters: [:]))
            next.log(metrics: ["train/loss": 0.4], step: 2, at: .now)
            next.log(parameters: [:], tags: [TrackedRun.tokenTag: "of the next attempt"])
            let sending = Task { await next.keepSending() }
            var status = killed.status
            while status != .running {
                status = try #require(try await runs(bench, mlflow, of: run).first).status
                try await Task.sleep(for: .milliseconds(100))
            }
            sending.cancel()
            await sending.value
            // Stopped only now, as a worker is that wakes up without its lease: the run is the next attempt's.
            await stopped.abandon()
            #expect(try await runs(bench, mlflow, of: run).first?.status == .running)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func stagesThatBeginTogetherAgree() async throws {
        try await Workbench.with { bench in
            let mlflow = try await bench.mlflow()
            let run = RunID.fresh()
            // What both do first, so that their searches and creations fall together.
            _ = try await mlflow.getOrCreateExperiment(named: bench.name)
            let ids = try await withThrowingTaskGroup(of: String.self) { group in
                for stage in ["train-a", "train-b", "train-c"] {
                    let context = bench.context("train", run: run, parameters: [:], stage: stage)
                    group.addTask { try await TrackedRun(client: mlflow, context: context).ensure().id }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            let others = try await runs(bench, mlflow, of: run).filter { !ids.contains($0.id) }
            #expect(others.allSatisfy { $0.status == .killed })
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aFailureEndsTheRunAndTheNextAttemptOpensItAgain() async throws {
        try await Workbench.with { bench in
            let mlflow = try await bench.mlflow()
            let run = RunID.fresh()
            let first = TrackedRun(client: mlflow, context: bench.context("train", run: run, parameters: [:]))
            first.log(metrics: ["train/loss": 0.5], step: 1, at: .now)
            await first.fail()
            #expect(try await runs(bench, mlflow, of: run).map(\.status) == [.failed])

            let second = TrackedRun(client: mlflow, context: bench.context("train", run: run, parameters: [:]))
            let sending = Task { await second.keepSending() }
            while try await runs(bench, mlflow, of: run).first?.status != .running {
                try await Task.sleep(for: .milliseconds(50))
            }
            sending.cancel()
            await sending.value
        }
    }
}
