import FoundationEssentials
import ObjectStorage
import Pipeline
import StageSupport
import WorkerRuntime

/// Results of models that were measured before with the same suite on the same rows: the base model's do not change
/// from run to run. What the model answered to each example is kept with them. The program that measures checks once
/// more that they fit.
struct EvaluationCache: Sendable {
    let context: StageContext
    let tokens: StageOutput
    let parameters: [String: JSONValue]

    /// Local files.
    struct Measured {
        var results: String
        var examples: String
    }

    /// - Returns: nil when the model was not measured before.
    func fetch(role: String, model: String) async throws -> Measured? {
        let key = key(model)
        for suffix in [Self.results, Self.examples]
        where try await context.storage.head(bucket: context.bucket, key: key + suffix) == nil {
            return nil
        }
        let stem = try context.workspace.directory() + "/cached-\(role)"
        let files = Measured(results: stem + Self.results, examples: stem + Self.examples)
        try await context.storage.download(bucket: context.bucket, key: key + Self.results, toFile: files.results)
        try await context.storage.download(bucket: context.bucket, key: key + Self.examples, toFile: files.examples)
        return files
    }

    /// Stores what the program has left of one role, if it measured it.
    func store(role: String, from directory: String, model: String) async throws {
        let results = directory + "/results-" + role + Self.results
        let examples = directory + "/examples-" + role + Self.examples
        guard FileManager.default.fileExists(atPath: results), FileManager.default.fileExists(atPath: examples) else {
            return
        }
        let key = key(model)
        // The results last: where they are, the examples are too.
        _ = try await context.storage.upload(file: examples, bucket: context.bucket, key: key + Self.examples)
        _ = try await context.storage.upload(file: results, bucket: context.bucket, key: key + Self.results)
    }

    private static let results = ".json"
    private static let examples = ".jsonl"

    private func key(_ model: String) -> String {
        let text = CacheKey.text(
            stageKind: "evaluate-results", version: "2", inputDigests: ["tokens": tokens.digest ?? "", "model": model],
            parameters: .object(parameters))
        return "cache/evaluate-results/\(Digest.sha256(text))"
    }
}
