import FoundationEssentials
import Logging
import ObjectStorage
import Pipeline
import StageSupport
import WorkerRuntime

/// The checkpoints of one training task in the object store: each a folder `<step>-<claim token>` with a manifest, so
/// a folder without one, or with a damaged file, does not count.
struct Checkpoints: Sendable {
    /// Checkpoints kept: the newest, and one before it for the case that the newest is damaged.
    static let kept = 2

    let context: StageContext

    /// Uploads a checkpoint and removes those that nobody needs any more.
    ///
    /// A store that is away costs a checkpoint, not the training.
    func save(directory: String, step: Int64) async {
        do {
            let prefix = context.checkpointPrefix + Self.folder(step: step, token: context.token)
            _ = try await context.artifacts.publish(directory: directory, prefix: prefix)
            context.log.line("checkpoint of step \(step) stored under \(prefix)")
            try await prune()
        } catch {
            context.log.line("checkpoint of step \(step) not stored: \(error)")
            context.logger.warning("checkpoint not stored", metadata: ["step": "\(step)", "error": "\(error)"])
        }
        // Its place is needed for the next one; a leftover goes with the workspace.
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Fetches the newest checkpoint that is whole; nil when there is none.
    func fetchLatest(into directory: String) async throws -> (prefix: String, directory: String)? {
        let target = directory + "/resume"
        for prefix in try await complete().reversed() {
            do {
                guard let location = try await context.artifacts.published(under: prefix) else { continue }
                try? FileManager.default.removeItem(atPath: target)
                try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
                try await context.artifacts.fetch(location, into: target)
                context.log.line("resuming from \(prefix)")
                return (prefix, target)
            } catch let error as S3Error where !error.isRetryable {
                context.log.line("checkpoint \(prefix) is not whole (\(error)); looking for an older one")
            }
        }
        return nil
    }

    /// Folders with a manifest, oldest step first.
    private func complete() async throws -> [String] {
        var prefixes: [String] = []
        for try await page in context.storage.list(bucket: context.bucket, prefix: context.checkpointPrefix) {
            for object in page.objects where object.key.hasSuffix("/" + ArtifactManifest.fileName) {
                prefixes.append(String(object.key.dropLast(ArtifactManifest.fileName.count)))
            }
        }
        return prefixes.sorted()
    }

    /// Removes the checkpoints of a training that nobody continues: they would take the places of the next one's,
    /// whose steps begin at 1 again.
    func removeAll() async throws {
        for prefix in try await complete() { try await remove(prefix) }
    }

    func remove(_ prefix: String) async throws {
        // The manifest first: what is half removed does not count.
        try await context.storage.delete(bucket: context.bucket, key: prefix + ArtifactManifest.fileName)
        _ = try await context.storage.deletePrefix(bucket: context.bucket, prefix: prefix)
    }

    private func prune() async throws {
        for prefix in try await complete().dropLast(Self.kept) { try await remove(prefix) }
    }

    private static func folder(step: Int64, token: ClaimToken) -> String {
        let digits = String(step)
        return String(repeating: "0", count: max(0, 8 - digits.count)) + digits + "-\(token)/"
    }
}
