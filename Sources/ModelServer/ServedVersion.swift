import FoundationEssentials
import MLflowClient
import Pipeline
import StageSupport

/// A version of the model and where its files are.
struct ServedVersion: Hashable, Sendable, Codable {
    var version: String
    var artifacts: ManifestReference
}

/// What every alias means: as the registry says, and while it is away as it said last.
struct Registry: Sendable {
    let mlflow: MLflowClient
    let model: String
    let aliases: [String]
    /// The file that remembers.
    let memory: String

    /// The registry's word, and what of it cannot be followed.
    /// - Throws: when the registry cannot be asked.
    func ask() async throws -> (versions: [String: ServedVersion], problems: [String: String]) {
        var versions: [String: ServedVersion] = [:]
        var problems: [String: String] = [:]
        for alias in aliases {
            guard let found = try await mlflow.modelVersion(name: model, alias: alias) else { continue }
            guard let artifacts = Lineage.artifacts(of: found.tags) else {
                problems[alias] =
                    "version \(found.version) of \(model), with the alias \(alias), was not registered by Martlet: its files "
                    + "have no digests to check"
                continue
            }
            versions[alias] = ServedVersion(version: found.version, artifacts: artifacts)
        }
        return (versions, problems)
    }

    /// What was served last.
    func remembered() -> [String: ServedVersion] { all().filter { aliases.contains($0.key) } }

    /// Those of other model servers of the model on this disk, too.
    private func all() -> [String: ServedVersion] {
        guard let bytes = FileManager.default.contents(atPath: memory) else { return [:] }
        return (try? JSONDecoder().decode([String: ServedVersion].self, from: bytes)) ?? [:]
    }

    /// Keeps what is served well now.
    func remember(_ versions: [String: ServedVersion]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let all = all().filter { !aliases.contains($0.key) }.merging(versions) { $1 }
        try encoder.encode(all).write(to: URL(filePath: memory), options: .atomic)
    }
}
