import FoundationEssentials
import Logging
package import MLflowClient
import ObjectStorage
package import Pipeline
package import StageSupport
package import WorkerRuntime

/// Fine-tunes the base model: metrics to MLflow while it runs, checkpoints to the object store, resumable by any worker.
package struct TrainHandler: StageHandler {
    package let kind = "train"
    package let version = "1"
    private static let known: Set<String> = [
        "base_model", "method", "lora", "epochs", "max_steps", "micro_batch_size", "gradient_accumulation_steps",
        "learning_rate", "warmup_ratio", "schedule", "min_lr_ratio", "weight_decay", "beta1", "beta2",
        "max_grad_norm", "seed", "dtype", "checkpoint_every_steps", "checkpoint_every_seconds", "eval_every_steps",
        "eval_max_bins", "gradient_checkpointing", "threads",
    ]

    private let python: PythonStage.Provider
    private let mlflow: MLflowClient
    private let cacheDirectory: String

    package init(python: @escaping PythonStage.Provider, mlflow: MLflowClient, cacheDirectory: String) {
        self.python = python
        self.mlflow = mlflow
        self.cacheDirectory = cacheDirectory
    }

    package func cacheValidator(_ context: StageContext) async throws -> JSONValue? {
        let parameters = try Parameters(context.payload, known: Self.known)
        let model = try await BaseModels(storage: context.storage, bucket: context.bucket)
            .find(try parameters.requiredString("base_model"))
        return .object(["base_model": .string(model.digest)])
    }

    package func run(_ context: StageContext) async throws -> StageResult {
        let parameters = try Parameters(context.payload, known: Self.known)
        let tokens = try context.input(.tokens)
        let model = try await BaseModels(storage: context.storage, bucket: context.bucket)
            .find(try parameters.requiredString("base_model"))
        let data = try context.workspace.subdirectory("tokens")
        let manifest = try await context.fetch(
            tokens, names: ["train.safetensors", "eval.safetensors"], into: data)
        let cache = ModelCache(directory: cacheDirectory, storage: context.storage)
        let base = try await cache.folder(for: model.artifacts)
        var specification = parameters.subset(Self.known.subtracting(["base_model"]).sorted())
        if context.payload.resourceRetry == true { Self.halve(&specification, context) }
        specification["base_model_dir"] = .string(base)
        specification["train_file"] = .string(data + "/train.safetensors")
        specification["eval_file"] = .string(data + "/eval.safetensors")
        specification["output_dir"] = .string(try context.workspace.directory() + "/output")
        specification["checkpoint_dir"] = .string(try context.workspace.subdirectory("checkpoints"))
        specification["model_card"] = card(context, model: model, tokens: tokens)
        let ending = try await train(specification, context)
        guard case .finished(let summary) = ending else { return .released }
        let output = try context.workspace.directory() + "/output"
        let reference = try await context.publish(directory: output)
        let published = try await context.artifacts.manifest(reference.location)
        return .succeeded(
            StageOutput(
                artifacts: reference,
                values: .object([
                    "type": .string(OutputType.model.rawValue), "summary": Brief.of(summary),
                    "base_model": .string(model.name), "base_model_digest": .string(model.digest),
                    "tokens_digest": .string(manifest.contentDigest),
                    "dataset_digest": tokens.values["dataset_digest"] ?? .null,
                    "dataset_version": tokens.values["dataset_version"] ?? .null,
                    "code_version": .string(BuildInfo.version),
                ]),
                digest: published.contentDigest))
    }

    /// Trains from the newest checkpoint; from the beginning when that belongs to another training.
    private func train(
        _ specification: [String: JSONValue], _ context: StageContext
    ) async throws -> PythonStage.Ending {
        let checkpoints = Checkpoints(context: context)
        guard let resume = try await checkpoints.fetchLatest(into: try context.workspace.directory()) else {
            return try await runOnce(specification, checkpoints, context)
        }
        var resumed = specification
        resumed["resume_from"] = .string(resume)
        do {
            return try await runOnce(resumed, checkpoints, context)
        } catch let error as StageFailure
            where ["train.checkpoint_mismatch", "train.checkpoint_invalid"].contains(error.failure.code)
        {
            context.log.line("the checkpoint cannot be continued (\(error.failure.message)); starting over")
            return try await runOnce(specification, checkpoints, context)
        }
    }

    private func runOnce(
        _ specification: [String: JSONValue], _ checkpoints: Checkpoints, _ context: StageContext
    ) async throws -> PythonStage.Ending {
        let tracked = TrackedRun(client: mlflow, context: context)
        tracked.log(
            parameters: Self.flatten(context.payload.parameters),
            tags: ["martlet.stage": context.payload.stage, "martlet.worker_token": context.token.description])
        let ending = try await withThrowingTaskGroup(of: PythonStage.Ending?.self) { group in
            group.addTask {
                await tracked.keepSending()
                return nil
            }
            group.addTask {
                try await PythonStage(environment: python()).run(
                    "train", specification: .object(specification), context: context
                ) { event in
                    switch event.name {
                    case "metric":
                        Self.record(event.fields, in: tracked)
                    case "checkpoint":
                        guard let directory = event.fields["directory"]?.stringValue,
                            let step = event.fields["step"]?.intValue
                        else { return }
                        await checkpoints.save(directory: directory, step: step)
                    default: break
                    }
                }
            }
            defer { group.cancelAll() }
            while let answer = try await group.next() {
                if let answer { return answer }
            }
            throw CancellationError()
        }
        // The last values belong to the record of the run, so MLflow gets some time to come back. Only now that nothing
        // else sends: what was on its way when that was stopped waits again.
        if case .finished = ending { try await tracked.finish(status: nil, limit: .seconds(120)) }
        return ending
    }

    private static func record(_ fields: JSONValue, in tracked: TrackedRun) {
        let step = fields["step"]?.intValue ?? 0
        let time = fields["time"]?.doubleValue.map { Timestamp(seconds: $0) } ?? .now
        var metrics: [String: Double] = [:]
        for (name, value) in fields["values"]?.objectValue ?? [:] {
            // The program's names say already what was measured on what: `train/loss`, `eval/loss`.
            if let number = value.doubleValue { metrics[name.contains("/") ? name : "train/" + name] = number }
        }
        tracked.log(metrics: metrics, step: step, at: time)
    }

    /// Half the micro-batch and twice the accumulation: the same training in half of the memory for activations.
    private static func halve(_ specification: inout [String: JSONValue], _ context: StageContext) {
        let micro = specification["micro_batch_size"]?.intValue ?? 4
        let accumulation = specification["gradient_accumulation_steps"]?.intValue ?? 1
        guard micro > 1 else {
            specification["gradient_checkpointing"] = true
            context.log.line("out of memory before: the micro-batch is 1 already, so activations are computed twice")
            return
        }
        // An odd micro-batch is rounded up, so that the batch as a whole never shrinks.
        specification["micro_batch_size"] = .int((micro + 1) / 2)
        specification["gradient_accumulation_steps"] = .int(accumulation * 2)
        context.log.line(
            "out of memory before: micro-batch \((micro + 1) / 2) instead of \(micro), accumulation \(accumulation * 2)"
        )
    }

    private func card(_ context: StageContext, model: BaseModel, tokens: StageOutput) -> JSONValue {
        .object([
            "title": .string(context.payload.pipeline), "run": .string(context.payload.run.description),
            "base": .string(model.name), "base_digest": .string(model.digest),
            "base_licence": .string(model.licence ?? "unknown"),
            "dataset": tokens.values["dataset_version"] ?? tokens.values["dataset_digest"] ?? .null,
            "code_version": .string(BuildInfo.version),
        ])
    }

    /// MLflow's parameters are flat text.
    static func flatten(_ value: JSONValue, prefix: String = "") -> [String: String] {
        guard let members = value.objectValue else { return [prefix: value.stringValue ?? value.canonicalJSON] }
        var flat: [String: String] = [:]
        for (name, member) in members {
            flat.merge(flatten(member, prefix: prefix.isEmpty ? name : prefix + "." + name)) { first, _ in first }
        }
        return flat
    }
}
