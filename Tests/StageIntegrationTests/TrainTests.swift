import Foundation
import MLflowClient
import ObjectStorage
import Pipeline
import StageSupport
import TestServers
import Testing

@testable import ModelStages
@testable import WorkerRuntime

/// Training by the real program: to the store and back, on another worker, with MLflow away.
@Suite(.serialized) struct TrainTests {
    @Test(.timeLimit(.minutes(5)))
    func whatIsTrainedSaysWhereItComesFromAndIsTracked() async throws {
        let trained = try await TrainedModel.shared()
        let values = trained.model.values
        #expect(values["dataset_digest"]?.stringValue == trained.dataset.digest)
        #expect(values["base_model_digest"]?.stringValue == Digest.sha256("tiny"))
        let code = try BuildInfo.code(with: try await StagesEnvironment.find())
        #expect(values["code_version"]?.stringValue == code)
        let card = try await trained.text("README.md", of: trained.model)
        #expect(card.contains("license: \"none\"") && card.contains("# \(trained.bench.name)"), "\(card)")
        let mlflow = try await trained.bench.mlflow()
        let experiment = try #require(try await mlflow.experiment(named: trained.bench.name))
        let runs = try await mlflow.searchRuns(
            experimentIDs: [experiment.id], filter: "tags.`\(TrackedRun.tag)` = '\(trained.run)'", limit: 10)
        let tracked = try #require(runs.first)
        #expect(runs.count == 1)
        let names = tracked.metrics.map(\.key).sorted()
        #expect(names.contains("train/loss") && names.contains("train/learning_rate"), "\(names)")
        #expect(!names.contains { $0.hasPrefix("train/train") || $0.hasPrefix("train/eval") }, "\(names)")
        let history = try await mlflow.metricHistory(runID: tracked.id, key: "train/loss")
        let curve = try await trained.document("training.json", of: trained.model)["curve"]?.arrayValue ?? []
        #expect(history.map(\.step).sorted() == [1, 2, 3, 4, 5, 6])
        #expect(Set(history.map(\.value)) == Set(curve.compactMap { $0["loss"]?.doubleValue }))
    }

    /// Cancelled in the middle (SIGTERM to the program), continued by another claim, to the same curve; then again from
    /// the older checkpoint, because the newest one is damaged.
    @Test(.timeLimit(.minutes(10)))
    func anotherWorkerContinuesFromTheNewestWholeCheckpoint() async throws {
        let trained = try await TrainedModel.shared()
        let bench = trained.bench
        let run = RunID.fresh()
        // A tracker that does not answer yet: the attempt cannot end before it is cancelled, however late that is.
        let target = try #require(URLComponents(string: try await TestServers.shared.mlflow())?.port)
        let relay = try await Peer.start("relay", [String(target), bench.folder + "/never"])
        let handler = try await TrainedModel.handler(bench, mlflow: relay.url)
        let first = trained.context(run: run)
        let attempt = Task { try await handler.run(first) }
        try await checkpoint(in: first)
        attempt.cancel()
        await #expect(throws: (any Error).self) { try await attempt.value }

        let second = trained.context(run: run)
        let output = try await TrainedModel.handler(bench, mlflow: nil).run(second).output
        let document = try await trained.document("training.json", of: output)
        let whole = try await trained.document("training.json", of: trained.model)
        #expect((document["resumed_from_step"]?.intValue ?? 0) >= 2)
        #expect(document["curve"] == whole["curve"], "resumed training has the same curve")

        let manifests = try await manifests(in: second)
        #expect(manifests.count == 2, "the newest and the one before")
        let newest = try #require(manifests.last)
        for try await page in bench.storage.list(
            bucket: bench.bucket, prefix: String(newest.dropLast("manifest.json".count)))
        {
            for object in page.objects where object.key.hasSuffix(".safetensors") {
                _ = try await bench.storage.put(
                    [UInt8](repeating: 7, count: Int(object.size)), bucket: bench.bucket, key: object.key)
            }
        }
        let third = trained.context(run: run)
        let again = try await TrainedModel.handler(bench, mlflow: nil).run(third).output
        let log = third.log.text
        #expect(log.contains("is not whole"), "\(log)")
        let redone = try await trained.document("training.json", of: again)
        #expect(redone["curve"] == whole["curve"])
        let older = try #require(manifests.first)
        #expect(log.contains("resuming from " + older.dropLast("manifest.json".count)))
    }

    /// The steps of the new training begin at 1, below those of the checkpoints that it cannot continue.
    @Test(.timeLimit(.minutes(10)))
    func aTrainingThatStartsOverLeavesCheckpointsOfItsOwn() async throws {
        let trained = try await TrainedModel.shared()
        let run = RunID.fresh()
        let handler = try await TrainedModel.handler(trained.bench, mlflow: nil)
        let stale = trained.context(run: run, ["max_steps": 20, "checkpoint_every_steps": 8])
        _ = try await handler.run(stale)
        let before = try await manifests(in: stale)
        #expect(before.count == 2)

        let other = trained.context(run: run, ["learning_rate": 0.02])
        let output = try await handler.run(other).output
        #expect(other.log.text.contains("starting over"))
        let document = try await trained.document("training.json", of: output)
        #expect(document["resumed_from_step"]?.isNull != false)
        let after = try await manifests(in: other)
        #expect(after.count == 2)
        #expect(Set(after).isDisjoint(with: before))

        let resumed = trained.context(run: run, ["learning_rate": 0.02])
        let again = try await trained.document("training.json", of: try await handler.run(resumed).output)
        #expect(again["resumed_from_step"]?.intValue == 4)
        #expect(again["curve"] == document["curve"])
    }

    @Test(arguments: [
        (micro: 4, accumulation: 1, expected: [2, 2]), (3, 1, [1, 3]), (5, 2, [2, 5]), (7, 4, [2, 14]),
        (6, 1, [3, 2]), (2, 3, [1, 6]), (9, 1, [3, 3]),
    ])
    func aHalvedMicroBatchMakesTheSameBatch(micro: Int64, accumulation: Int64, expected: [Int64]) {
        let (half, repeated) = TrainHandler.halved(micro: micro, accumulation: accumulation)
        #expect([half, repeated] == expected)
    }

    @Test(.timeLimit(.minutes(5)))
    func aDrainedWorkerGivesTheTaskBackWithACheckpoint() async throws {
        let trained = try await TrainedModel.shared()
        let context = trained.context(run: .fresh(), ["max_steps": 500, "checkpoint_every_steps": 3])
        let handler = try await TrainedModel.handler(trained.bench, mlflow: nil)
        let attempt = Task { try await handler.run(context) }
        try await checkpoint(in: context)
        context.drain.set()
        guard case .released = try await attempt.value else {
            Issue.record("the training went on")
            return
        }
        #expect(try await !manifests(in: context).isEmpty)
    }

    @Test(.timeLimit(.minutes(5)))
    func afterExhaustedMemoryTheMicroBatchIsHalved() async throws {
        let trained = try await TrainedModel.shared()
        let context = trained.context(run: .fresh(), resourceRetry: true)
        let output = try await TrainedModel.handler(trained.bench, mlflow: nil).run(context).output
        let parameters = try await trained.document("training.json", of: output)["parameters"]
        #expect(parameters?["micro_batch_size"]?.intValue == 1)
        #expect(parameters?["gradient_accumulation_steps"]?.intValue == 4)
        #expect(context.log.text.contains("micro-batch 1 instead of 2, accumulation 4"))
        let whole = try await trained.document("training.json", of: trained.model)
        let losses = [output, trained.model].compactMap { $0?.values["summary"]?["last_loss"]?.doubleValue }
        #expect(abs((losses.first ?? 0) - (losses.last ?? 9)) < 1e-3, "the same training: \(losses)")
        #expect(whole["parameters"]?["micro_batch_size"]?.intValue == 2)
    }

    @Test(.timeLimit(.minutes(5)))
    func metricsArriveThoughTheTrackerWasAwayAllTheWhile() async throws {
        let trained = try await TrainedModel.shared()
        let gate = trained.bench.folder + "/gate-" + UUID().uuidString
        let target = try #require(URLComponents(string: try await TestServers.shared.mlflow())?.port)
        let relay = try await Peer.start("relay", [String(target), gate])
        let run = RunID.fresh()
        let context = trained.context(run: run)
        let handler = try await TrainedModel.handler(trained.bench, mlflow: relay.url)
        let attempt = Task { try await handler.run(context) }
        try await checkpoint(in: context)
        #expect(FileManager.default.createFile(atPath: gate, contents: nil))
        #expect(try await attempt.value.output != nil)
        let mlflow = try await trained.bench.mlflow()
        let experiment = try #require(try await mlflow.experiment(named: trained.bench.name))
        let tracked = try #require(
            try await mlflow.searchRuns(
                experimentIDs: [experiment.id], filter: "tags.`\(TrackedRun.tag)` = '\(run)'", limit: 10
            ).first)
        #expect(try await mlflow.metricHistory(runID: tracked.id, key: "train/loss").count == 6)
    }

    // MARK: Looking at the store

    private func manifests(in context: StageContext) async throws -> [String] {
        var keys: [String] = []
        for try await page in context.storage.list(bucket: context.bucket, prefix: context.checkpointPrefix) {
            keys += page.objects.map(\.key).filter { $0.hasSuffix("/manifest.json") }
        }
        return keys.sorted()
    }

    /// Returns once the first checkpoint is in the store.
    private func checkpoint(in context: StageContext) async throws {
        while try await manifests(in: context).isEmpty { try await Task.sleep(for: .milliseconds(20)) }
    }
}
