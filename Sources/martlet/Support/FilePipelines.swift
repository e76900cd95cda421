import Configuration
import Crypto
import FoundationEssentials
import Logging
import Pipeline
import Scheduler
import StageSupport
import Synchronization

/// The pipelines of a folder, read again when a file changes. One bad file does not stop the others.
final class FilePipelines: PipelineSource {
    private struct Known {
        var stamp: String
        var entries: [String: PipelineEntry]
    }

    private let directory: String
    private let logger: Logger
    private let known = Mutex<Known?>(nil)

    init(directory: String, logger: Logger) {
        self.directory = directory
        self.logger = logger
    }

    func pipelines() async throws -> [String: PipelineEntry] {
        let stamp = try stamp()
        if let known = known.withLock({ $0 }), known.stamp == stamp { return known.entries }
        let loaded = try PipelineCatalogue.load(directory: directory)
        for problem in loaded.problems { logger.error("pipeline left out", metadata: ["error": "\(problem)"]) }
        let entries = try loaded.catalogue.pipelines.mapValues { spec in
            PipelineEntry(spec: spec, digest: try Self.digest(of: spec))
        }
        logger.info("pipelines read", metadata: ["names": "\(entries.keys.sorted().joined(separator: " "))"])
        known.withLock { $0 = Known(stamp: stamp, entries: entries) }
        return entries
    }

    static func digest(of spec: PipelineSpec) throws -> String {
        let value = try JSONDecoder().decode(JSONValue.self, from: try JSONEncoder().encode(spec))
        return Digest.sha256(value.canonicalJSON)
    }

    /// Names, sizes and times of the files.
    private func stamp() throws -> String {
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted().map { name in
            let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/" + name)
            let time = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            return "\(name) \(time) \(attributes[.size] ?? 0)"
        }.joined(separator: "\n")
    }
}
