import FoundationEssentials
import Logging
package import MLflowClient
import ObjectStorage
package import Pipeline
package import StageSupport
package import WorkerRuntime

/// Measures the candidate, the base model and the champion with one suite, and judges the candidate at the gate.
package struct EvaluateHandler: StageHandler {
    package let kind = "evaluate"
    package let version = "1"
    private static let measured: Set<String> = [
        "max_loss_rows", "generation", "batch_size", "copy_words", "bootstrap_samples", "dtype", "threads",
    ]
    private static let known = measured.union(["base_model", "model_name", "gate"])

    private let python: PythonStage.Provider
    private let mlflow: MLflowClient
    private let cacheDirectory: String

    package init(python: @escaping PythonStage.Provider, mlflow: MLflowClient, cacheDirectory: String) {
        self.python = python
        self.mlflow = mlflow
        self.cacheDirectory = cacheDirectory
    }

    /// Never: the champion may be another one by now.
    package func cacheValidator(_ context: StageContext) async throws -> JSONValue? { nil }

    package func run(_ context: StageContext) async throws -> StageResult {
        let parameters = try Parameters(context.payload, known: Self.known)
        guard let rules = parameters["gate"] else {
            throw StageFailure(
                .permanent, "evaluate.no_gate",
                "stage \(context.payload.stage) needs the parameter gate, with its rules")
        }
        let gate = try GatePolicy(json: rules)
        let tokens = try context.input(.tokens)
        let trained = try context.input(.model)
        guard let weights = trained.artifacts else {
            throw StageFailure(
                .permanent, "stage.no_files", "the model that stage \(context.payload.stage) reads has no files")
        }
        let data = try context.workspace.subdirectory("tokens")
        try await context.fetch(tokens, into: data)
        let base = try await BaseModels(storage: context.storage, bucket: context.bucket)
            .find(try parameters.requiredString("base_model"))
        let champion = try await champion(try parameters.requiredString("model_name"))
        let cache = ModelCache(directory: cacheDirectory, storage: context.storage)
        var models: [String: JSONValue] = [
            "candidate": .string(try await cache.folder(for: weights, below: "merged")),
            "base": .string(try await cache.folder(for: base.artifacts)),
        ]
        if let champion {
            models["champion"] = .string(try await cache.folder(for: champion.artifacts, below: "merged"))
        }
        let earlier = EvaluationCache(
            context: context, tokens: tokens, parameters: parameters.subset(Self.measured.sorted()))
        var cached: [String: EvaluationCache.Measured] = [:]
        cached["base"] = try await earlier.fetch(role: "base", model: base.digest)
        if let champion {
            cached["champion"] = try await earlier.fetch(role: "champion", model: champion.artifacts.sha256)
        }
        var specification = parameters.subset(Self.measured.sorted())
        let output = try context.workspace.directory() + "/output"
        specification["models"] = .object(models)
        if !cached.isEmpty {
            specification["cached"] = .object(cached.mapValues { .string($0.results) })
            specification["cached_examples"] = .object(cached.mapValues { .string($0.examples) })
        }
        specification["eval_file"] = .string(data + "/eval.safetensors")
        specification["eval_jsonl"] = .string(data + "/eval.jsonl")
        specification["train_file_for_copy_check"] = .string(data + "/train.jsonl")
        specification["output_dir"] = .string(output)
        let tracked = TrackedRun(client: mlflow, context: context)
        let ending = try await PythonStage(environment: python()).run(
            "evaluate", specification: .object(specification), context: context)
        guard case .finished(let report) = ending else { return .released }
        if report["results"]?["base"]?["cached"]?.boolValue != true {
            try await earlier.store(role: "base", from: output, model: base.digest)
        }
        // What is a candidate now may be the champion next time.
        try await earlier.store(role: "candidate", from: output, model: weights.sha256)
        return try await judge(
            report, gate: gate, output: output, tracked: tracked, context: context, trained: trained, tokens: tokens,
            champion: champion)
    }

    private func judge(
        _ report: JSONValue, gate: GatePolicy, output: String, tracked: TrackedRun, context: StageContext,
        trained: StageOutput, tokens: StageOutput, champion: Champion?
    ) async throws -> StageResult {
        var metrics: [String: JSONValue] = [:]
        var intervals: [String: JSONValue] = [:]
        for (role, results) in report["results"]?.objectValue ?? [:] {
            if role == "champion", let why = results["incomparable"]?.stringValue {
                // A champion of another family of models is no measure: without one, its rules do not apply.
                context.log.line("the champion is left out: \(why)")
                continue
            }
            metrics[role] = results["metrics"] ?? .object([:])
            intervals[role] = results["intervals"] ?? .null
        }
        let decision = gate.evaluate(metrics: .object(metrics))
        for line in decision.results {
            context.log.line("gate: \(line.rule): \(line.status.rawValue): \(line.explanation)")
        }
        let values = JSONValue.object([
            "type": .string(OutputType.evaluation.rawValue), "metrics": .object(metrics),
            "intervals": .object(intervals), GateDecision.outputKey: decision.json,
            "champion_version": champion.map { .string($0.version) } ?? .null,
            "model_digest": trained.digest.map(JSONValue.string) ?? .null,
            "dataset_digest": tokens.values["dataset_digest"] ?? .null,
        ])
        let document = JSONValue.object([
            "run": .string(context.payload.run.description), "decision": decision.json, "metrics": .object(metrics),
            "report": report,
        ])
        try Data(document.canonicalJSON.utf8).write(to: URL(filePath: output + "/report.json"))
        let reference = try await context.publish(directory: output)
        try await track(metrics, decision, in: tracked)
        var known = values.objectValue ?? [:]
        known["mlflow_run_id"] = tracked.mlflowRunID.map(JSONValue.string)
        let result = StageOutput(
            artifacts: reference, values: .object(known),
            digest: try await context.artifacts.manifest(reference.location).contentDigest)
        return decision.isAccepted ? .succeeded(result) : .rejected(result)
    }

    private func track(_ metrics: [String: JSONValue], _ decision: GateDecision, in tracked: TrackedRun) async throws {
        for (role, values) in metrics {
            var numbers: [String: Double] = [:]
            for (name, value) in values.objectValue ?? [:] {
                if let number = value.doubleValue { numbers["eval/\(role)/\(name)"] = number }
            }
            tracked.log(metrics: numbers, step: 0, at: .now)
        }
        var tags = ["martlet.gate": decision.isAccepted ? "accepted" : "rejected"]
        for result in decision.results {
            tags["martlet.gate." + Self.tagName(result.rule)] = "\(result.status.rawValue): \(result.explanation)"
        }
        tracked.log(parameters: [:], tags: tags)
        try await tracked.finish(status: .finished, limit: .seconds(120))
    }

    /// MLflow takes letters, digits, `_`, `-`, `.`, `/`, `:` and spaces in the names of tags, 250 at most.
    private static func tagName(_ text: String) -> String {
        let mapped = text.unicodeScalars.map { scalar in
            let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            return isPlain || "_-./: ".unicodeScalars.contains(scalar) ? Character(scalar) : "_"
        }
        return String(mapped.prefix(200))
    }

    struct Champion {
        var version: String
        var artifacts: ManifestReference
    }

    /// The version that the alias `champion` points at, by the lineage that its registration left.
    private func champion(_ name: String) async throws -> Champion? {
        guard let version = try await mlflow.modelVersion(name: name, alias: Lineage.championAlias) else { return nil }
        guard let reference = Lineage.artifacts(of: version.tags) else {
            throw StageFailure(
                .permanent, "evaluate.champion",
                "version \(version.version) of model \(name) is the champion but has no lineage tags, so its weights cannot be "
                    + "found; point the alias champion at a version that Martlet registered, or delete it")
        }
        return Champion(version: version.version, artifacts: reference)
    }
}
