import FoundationEssentials
import ObjectStorage
import Pipeline
import StageSupport
import WorkerRuntime

/// Results of models that were measured before with the same suite on the same rows: the base model's do not change
/// from run to run. The program that measures checks once more that they fit.
struct EvaluationCache: Sendable {
    let context: StageContext
    let tokens: StageOutput
    let parameters: [String: JSONValue]

    /// - Returns: a local file, or nil when the model was not measured before.
    func fetch(role: String, model: String) async throws -> String? {
        let key = key(model)
        guard try await context.storage.head(bucket: context.bucket, key: key) != nil else { return nil }
        let bytes = try await context.storage.get(bucket: context.bucket, key: key, upTo: 1 << 20)
        let file = try context.workspace.directory() + "/cached-\(role).json"
        try Data(bytes).write(to: URL(filePath: file))
        return file
    }

    func store(file: String, model: String) async throws {
        guard FileManager.default.fileExists(atPath: file) else { return }
        let bytes = Array(try Data(contentsOf: URL(filePath: file)))
        _ = try await context.storage.put(
            bytes, bucket: context.bucket, key: key(model), contentType: "application/json")
    }

    private func key(_ model: String) -> String {
        let text = CacheKey.text(
            stageKind: "evaluate-results", version: "1", inputDigests: ["tokens": tokens.digest ?? "", "model": model],
            parameters: .object(parameters))
        return "cache/evaluate-results/\(Digest.sha256(text)).json"
    }
}
