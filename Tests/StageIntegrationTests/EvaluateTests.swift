import Foundation
import MLflowClient
import ModelStages
import ObjectStorage
import Pipeline
import StageSupport
import Testing

@testable import WorkerRuntime

/// Measuring by the real program, and the judgement recorded where people look for it.
@Suite(.serialized) struct EvaluateTests {
    private func evaluate(
        _ trained: TrainedModel, name: String, run: RunID, maximumPerplexity: Double = 1e9
    ) async throws -> (result: StageResult, log: String) {
        let environment = try await StagesEnvironment.find()
        let handler = EvaluateHandler(
            python: { environment }, mlflow: try await trained.bench.mlflow(),
            cacheDirectory: trained.bench.folder + "/models")
        let context = trained.bench.context(
            "evaluate", run: run,
            parameters: [
                "base_model": "tiny", "model_name": .string(name), "dtype": "float32", "threads": 1,
                "generation": ["samples": 2, "max_new_tokens": 4, "batch_size": 2, "seed": 1],
                "gate": [
                    "rules": [
                        ["name": "perplexity", "metric": "candidate.perplexity", "max": .double(maximumPerplexity)],
                        [
                            "name": "against the champion", "metric": "candidate.loss", "no_worse_than": "champion",
                            "tolerance": 0.02,
                        ],
                    ]
                ],
            ], inputs: ["preprocess": trained.tokens, "train": trained.model])
        return (try await handler.run(context), context.log.text)
    }

    /// A version under the alias `champion`.
    private func crown(_ name: String, _ artifacts: ManifestReference?, _ mlflow: MLflowClient) async throws {
        _ = try await mlflow.getOrCreateRegisteredModel(named: name)
        let version = try await mlflow.createModelVersion(
            name: name, source: "s3://bucket/model", tags: artifacts.map(Lineage.tags) ?? [:])
        try await mlflow.setAlias(name: name, alias: "champion", version: version.version)
    }

    @Test(.timeLimit(.minutes(5)))
    func theFirstModelIsMeasuredAgainstTheBaseAlone() async throws {
        let trained = try await TrainedModel.shared()
        let run = RunID.fresh()
        let (result, log) = try await evaluate(trained, name: "none-" + trained.bench.name, run: run)
        guard case .succeeded(let output) = result else {
            Issue.record("rejected: \(log)")
            return
        }
        let metrics = output.values["metrics"]?.objectValue ?? [:]
        #expect(metrics.keys.sorted() == ["base", "candidate"])
        let candidate = try #require(metrics["candidate"]?["loss"]?.doubleValue)
        #expect(candidate < (metrics["base"]?["loss"]?.doubleValue ?? 0), "training helped")
        #expect(output.values["model_digest"]?.stringValue == trained.model.digest)
        let decision = try #require(output.values["gate"].flatMap(GateDecision.init(json:)))
        #expect(decision.results.map(\.status) == [.passed, .notApplicable])
        let report = try await trained.document("report.json", of: output)
        #expect(report["decision"]?.canonicalJSON == decision.json.canonicalJSON)
        let mlflow = try await trained.bench.mlflow()
        let experiment = try #require(try await mlflow.experiment(named: trained.bench.name))
        let tracked = try #require(
            try await mlflow.searchRuns(
                experimentIDs: [experiment.id], filter: "tags.`\(TrackedRun.tag)` = '\(run)'", limit: 10
            ).first)
        #expect(tracked.tags["martlet.gate"] == "accepted")
        #expect(tracked.tags["martlet.gate.perplexity"]?.hasPrefix("passed") == true)
        #expect(tracked.metrics.contains { $0.key == "eval/candidate/loss" && $0.value == candidate })
    }

    @Test(.timeLimit(.minutes(5)))
    func aHopelessModelIsRejectedAndTheBaseIsNotMeasuredAgain() async throws {
        let trained = try await TrainedModel.shared()
        let name = "none-" + trained.bench.name
        let (first, _) = try await evaluate(trained, name: name, run: .fresh())
        let (result, _) = try await evaluate(trained, name: name, run: .fresh(), maximumPerplexity: 1.5)
        guard case .rejected(let output) = result else {
            Issue.record("accepted")
            return
        }
        let decision = try #require(output.values["gate"].flatMap(GateDecision.init(json:)))
        #expect(!decision.isAccepted)
        #expect((decision.results.first?.margin ?? 0) < 0, "the rule says by how much it failed")
        let report = try await trained.document("report.json", of: output)
        #expect(report["report"]?["results"]?["base"]?["cached"] == true)
        let examples = try await trained.text("examples-base.jsonl", of: output)
        #expect(!examples.isEmpty)
        #expect(try await trained.text("examples-base.jsonl", of: first.output) == examples)
    }

    @Test(.timeLimit(.minutes(5)))
    func theChampionIsMeasuredWithTheSameSuite() async throws {
        let trained = try await TrainedModel.shared()
        let name = "champion-" + trained.bench.name
        try await crown(name, trained.model.artifacts, try await trained.bench.mlflow())
        let (result, _) = try await evaluate(trained, name: name, run: .fresh())
        let output = try #require(result.output)
        let metrics = output.values["metrics"]
        #expect(metrics?["champion"]?["loss"] == metrics?["candidate"]?["loss"], "they are the same weights")
        let decision = try #require(output.values["gate"].flatMap(GateDecision.init(json:)))
        #expect(decision.results.map(\.status) == [.passed, .passed])
        #expect(output.values["champion_version"]?.stringValue == "1")
    }

    @Test(.timeLimit(.minutes(5)))
    func aChampionWithAnotherVocabularyIsLeftOut() async throws {
        let trained = try await TrainedModel.shared()
        let bench = trained.bench
        let name = "foreign-" + bench.name
        let folder = bench.folder + "/foreign-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: try await Materials.shared() + "/foreign", toPath: folder + "/merged")
        let location = try await ArtifactStore(client: bench.storage, bucket: bench.bucket)
            .publish(directory: folder, prefix: "runs/other/train/" + UUID().uuidString)
        try await crown(
            name, ManifestReference(bucket: location.bucket, key: location.key, sha256: location.sha256),
            try await bench.mlflow())
        let (result, log) = try await evaluate(trained, name: name, run: .fresh())
        #expect(log.contains("the champion is left out"))
        let output = try #require(result.output)
        #expect(output.values["metrics"]?["champion"] == nil)
        let decision = try #require(output.values["gate"].flatMap(GateDecision.init(json:)))
        #expect(decision.results.map(\.status) == [.passed, .notApplicable])
    }

    @Test(.timeLimit(.minutes(5)))
    func aChampionOfUnknownOriginIsNamed() async throws {
        let trained = try await TrainedModel.shared()
        let name = "unknown-" + trained.bench.name
        try await crown(name, nil, try await trained.bench.mlflow())
        await #expect {
            try await evaluate(trained, name: name, run: .fresh())
        } throws: { error in
            let failure = FailureClassifier.failure(for: error)
            return failure.code == "evaluate.champion" && failure.class == .permanent && failure.message.contains(name)
        }
    }
}
