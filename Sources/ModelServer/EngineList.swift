import FoundationEssentials
import Glibc
import LocalStack
import Logging

/// The engines of a model server on disk, so that those that outlive it when it is killed are found and ended by the next
/// one: each holds the memory of a whole model.
struct EngineList {
    private struct Content: Codable {
        /// Whose engines they are.
        var server: ProcessIdentity
        var engines: [ProcessIdentity]
    }

    private let folder: String
    private let server: ProcessIdentity
    private var engines: [ProcessIdentity] = []
    private let log: Logger

    /// How long an engine has to end.
    private static let grace = Duration.seconds(15)

    init?(folder: String, log: Logger) {
        guard let server = ProcessIdentity.of(getpid()) else { return nil }
        self.server = server
        self.folder = folder + "/engines"
        self.log = log
    }

    /// Writes down which processes there are.
    mutating func set(_ processes: [pid_t]) {
        let engines = processes.compactMap(ProcessIdentity.of).sorted { $0.pid < $1.pid }
        guard engines != self.engines else { return }
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            let file = "\(folder)/\(server.pid).json"
            if engines.isEmpty {
                try FileManager.default.removeItem(atPath: file)
            } else {
                try JSONEncoder().encode(Content(server: server, engines: engines))
                    .write(to: URL(filePath: file), options: .atomic)
            }
            self.engines = engines
        } catch {
            log.warning("cannot keep which engines run", metadata: ["error": "\(error)"])
        }
    }

    /// Ends what model servers have left that are gone.
    func sweep() async {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names where name.hasSuffix(".json") {
            let path = "\(folder)/\(name)"
            guard let data = FileManager.default.contents(atPath: path),
                let content = try? JSONDecoder().decode(Content.self, from: data)
            else { continue }
            guard !content.server.isAlive else { continue }
            for engine in content.engines where engine.isAlive {
                log.warning(
                    "an engine is ended that a model server has left which was killed",
                    metadata: ["pid": "\(engine.pid)"]
                )
                _ = await engine.stop(grace: Self.grace)
            }
            try? FileManager.default.removeItem(atPath: path)
        }
    }
}
