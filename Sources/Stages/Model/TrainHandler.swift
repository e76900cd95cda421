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
        let code = try BuildInfo.code(with: python())
        specification["model_card"] = card(context, model: model, tokens: tokens, code: code)
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
                    "code_version": .string(code),
                ]),
                digest: published.contentDigest))
    }

    /// Trains from the newest checkpoint that can be continued; from the beginning when they belong to another training.
    private func train(
        _ specification: [String: JSONValue], _ context: StageContext
    ) async throws -> PythonStage.Ending {
        let checkpoints = Checkpoints(context: context)
        while let newest = try await checkpoints.fetchLatest(into: try context.workspace.directory()) {
            var resumed = specification
            resumed["resume_from"] = .string(newest.directory)
            do {
                return try await runOnce(resumed, checkpoints, context)
            } catch let error as StageFailure where error.failure.code == "train.checkpoint_mismatch" {
                context.log.line("the checkpoint cannot be continued (\(error.failure.message)); starting over")
                try await checkpoints.removeAll()
            } catch let error as StageFailure where error.failure.code == "train.checkpoint_invalid" {
                context.log.line("the checkpoint cannot be read (\(error.failure.message)); looking for an older one")
                try await checkpoints.remove(newest.prefix)
            }
        }
        return try await runOnce(specification, checkpoints, context)
    }

    private func runOnce(
        _ specification: [String: JSONValue], _ checkpoints: Checkpoints, _ context: StageContext
    ) async throws -> PythonStage.Ending {
        let tracked = TrackedRun(client: mlflow, context: context)
        tracked.log(
            parameters: Self.flatten(context.payload.parameters),
            tags: ["martlet.stage": context.payload.stage, TrackedRun.tokenTag: context.token.description])
        let ending: PythonStage.Ending
        do {
            ending = try await follow(specification, checkpoints, tracked, context)
        } catch {
            // A process that was ended fails in whatever way it likes.
            if Task.isCancelled { await tracked.abandon() } else if error is StageFailure { await tracked.fail() }
            throw error
        }
        // The last values belong to the record of the run, so MLflow gets some time to come back. Only now that nothing
        // else sends: what was on its way when that was stopped waits again.
        if case .finished = ending { try await tracked.finish(status: .finished, limit: .seconds(120)) }
        return ending
    }

    private func follow(
        _ specification: [String: JSONValue], _ checkpoints: Checkpoints, _ tracked: TrackedRun, _ context: StageContext
    ) async throws -> PythonStage.Ending {
        try await withThrowingTaskGroup(of: PythonStage.Ending?.self) { group in
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
        let (half, repeated) = Self.halved(micro: micro, accumulation: accumulation)
        specification["micro_batch_size"] = .int(half)
        specification["gradient_accumulation_steps"] = .int(repeated)
        context.log.line("out of memory before: micro-batch \(half) instead of \(micro), accumulation \(repeated)")
    }

    /// The largest micro-batch, of half the size at most, that makes the same batch: any other batch would be another
    /// training, which cannot go on from a checkpoint.
    static func halved(micro: Int64, accumulation: Int64) -> (micro: Int64, accumulation: Int64) {
        let batch = micro * accumulation
        var half = max(1, micro / 2)
        while batch % half != 0 { half -= 1 }
        return (half, batch / half)
    }

    private func card(_ context: StageContext, model: BaseModel, tokens: StageOutput, code: String) -> JSONValue {
        .object([
            "title": .string(context.payload.pipeline), "run": .string(context.payload.run.description),
            "base": .string(model.name), "base_digest": .string(model.digest),
            "base_licence": .string(model.licence ?? "unknown"),
            "dataset": tokens.values["dataset_version"] ?? tokens.values["dataset_digest"] ?? .null,
            "code_version": .string(code),
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
