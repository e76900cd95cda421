import Foundation
import IngestStage
import ModelStages
import ObjectStorage
import Pipeline
import StageSupport
import TestServers
import Testing

@testable import WorkerRuntime

/// A tiny model through ingest, preprocess and train, made once per test process by the handlers themselves.
struct TrainedModel: Sendable {
    let bench: Workbench
    let run: RunID
    let dataset: StageOutput
    let tokens: StageOutput
    let model: StageOutput
    let trainLog: String

    static let training: [String: JSONValue] = [
        "base_model": "tiny", "method": "lora", "lora": ["r": 4, "alpha": 8], "max_steps": 6, "micro_batch_size": 2,
        "gradient_accumulation_steps": 2, "learning_rate": 0.01, "dtype": "float32", "seed": 11, "threads": 1,
        "checkpoint_every_steps": 2,
    ]

    static func shared() async throws -> TrainedModel { try await making.value }

    // Unstructured, as it outlives the test that asks first. Its bucket and folder go with the test process.
    private static let making = Task { try await make() }

    private static func make() async throws -> TrainedModel {
        let materials = try await Materials.shared()
        let environment = try await StagesEnvironment.find()
        let bench = try await Workbench.make()
        let models = BaseModels(storage: bench.storage, bucket: bench.bucket)
        for (name, folder) in [("tiny", "model"), ("foreign", "foreign")] {
            _ = try await models.store(
                directory: "\(materials)/\(folder)", name: name, digest: Digest.sha256(name), parameters: nil,
                architecture: "LlamaForCausalLM", licence: "none", source: [:], importedAt: .now)
        }
        let run = RunID.fresh()
        let ingest = IngestHandler(transport: bench.transport, access: SourceAccess()) { environment }
        let dataset = try await ingest.run(
            bench.context(
                "ingest", run: run,
                parameters: [
                    "source": .string("file://\(materials)/records.jsonl"), "source_id_field": "source_id",
                    "duplicates": ["near": false],
                ])
        ).output
        let preprocess = PreprocessHandler { environment }
        let tokens = try await preprocess.run(
            bench.context(
                "preprocess", run: run,
                parameters: ["base_model": "tiny", "max_length": 256, "eval_fraction": 0.25, "seed": 3],
                inputs: ["ingest": try #require(dataset)])
        ).output
        let context = bench.context(
            "train", run: run, parameters: .object(training), inputs: ["preprocess": try #require(tokens)])
        let model = try await handler(bench, mlflow: nil).run(context).output
        return TrainedModel(
            bench: bench, run: run, dataset: try #require(dataset), tokens: try #require(tokens),
            model: try #require(model), trainLog: context.log.text)
    }

    static func handler(_ bench: Workbench, mlflow: String?) async throws -> TrainHandler {
        let environment = try await StagesEnvironment.find()
        return TrainHandler(
            python: { environment }, mlflow: try await bench.mlflow(url: mlflow),
            cacheDirectory: bench.folder + "/models")
    }

    func context(run: RunID, _ changes: [String: JSONValue] = [:], resourceRetry: Bool? = nil, stage: String? = nil)
        -> StageContext
    {
        bench.context(
            "train", run: run, parameters: .object(Self.training.merging(changes) { $1 }),
            inputs: ["preprocess": tokens], resourceRetry: resourceRetry, stage: stage)
    }

    /// A JSON file of an output.
    func document(_ name: String, of output: StageOutput?) async throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: Data(try await text(name, of: output).utf8))
    }

    func text(_ name: String, of output: StageOutput?) async throws -> String {
        let reference = try #require(output?.artifacts)
        let folder = bench.folder + "/document-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try await bench.context("any", parameters: [:]).artifacts.fetch(
            reference.location, names: [name], into: folder)
        return try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
    }
}
