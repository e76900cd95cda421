import FoundationEssentials
import ObjectStorage
package import Pipeline
package import StageSupport
package import WorkerRuntime

/// Turns a dataset version into tokens: chat template, tokenisation, leak-free split, packing.
package struct PreprocessHandler: StageHandler {
    package let kind = "preprocess"
    package let version = "2"
    private static let known: Set<String> = [
        "base_model", "max_length", "system_prompt", "chat_template", "truncation", "eval_fraction",
        "eval_max_records", "train_max_records", "packing", "near_duplicate", "seed",
    ]

    private let python: PythonStage.Provider

    package init(python: @escaping PythonStage.Provider) {
        self.python = python
    }

    package func cacheValidator(_ context: StageContext) async throws -> JSONValue? {
        let parameters = try Parameters(context.payload, known: Self.known)
        let model = try await BaseModels(storage: context.storage, bucket: context.bucket)
            .find(try parameters.requiredString("base_model"))
        return .object(["base_model": .string(model.digest)])
    }

    package func run(_ context: StageContext) async throws -> StageResult {
        let parameters = try Parameters(context.payload, known: Self.known)
        let dataset = try context.input(.dataset)
        let model = try await BaseModels(storage: context.storage, bucket: context.bucket)
            .find(try parameters.requiredString("base_model"))
        let data = try context.workspace.subdirectory("dataset")
        let manifest = try await context.fetch(dataset, into: data)
        let files = manifest.entries.map(\.name).filter { $0.hasPrefix("records-") }.map { data + "/" + $0 }
        let base = try context.workspace.subdirectory("base")
        // The tokeniser needs everything but the weights.
        let store = ArtifactStore(client: context.storage, bucket: model.artifacts.bucket)
        let small = try await store.manifest(model.artifacts.location).entries.map(\.name)
            .filter { !$0.hasSuffix(".safetensors") }
        try await store.fetch(model.artifacts.location, names: small, into: base)
        var specification = parameters.subset(Self.known.subtracting(["base_model"]).sorted())
        specification["dataset"] = .object(["files": .array(files.map(JSONValue.string))])
        specification["base_model_dir"] = .string(base)
        let output = try context.workspace.subdirectory("output")
        specification["output_dir"] = .string(output)
        let ending = try await PythonStage(environment: python())
            .run("preprocess", specification: .object(specification), context: context)
        guard case .finished(let report) = ending else { return .released }
        let reference = try await context.publish(directory: output)
        let published = try await context.artifacts.manifest(reference.location)
        return .succeeded(
            StageOutput(
                artifacts: reference,
                values: .object([
                    "type": .string(OutputType.tokens.rawValue), "report": Brief.of(report),
                    "base_model": .string(model.name), "base_model_digest": .string(model.digest),
                    "dataset_digest": dataset.values["digest"] ?? .null,
                    "dataset_version": dataset.values["version"] ?? .null,
                ]),
                digest: published.contentDigest))
    }
}
