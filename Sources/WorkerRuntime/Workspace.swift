import FoundationEssentials
import Pipeline
import Synchronization

/// A folder of its own for one attempt, made when first asked for and removed at the end.
package final class Workspace: Sendable {
    private let path: String
    private let isMade = Mutex(false)

    /// - Parameter path: an absolute path that nothing else uses.
    init(path: String) {
        self.path = path
    }

    /// The folder, readable by this user only.
    package func directory() throws -> String {
        try isMade.withLock { isMade in
            guard !isMade else { return }
            // What a killed worker left under this name is of no use.
            if FileManager.default.fileExists(atPath: path) { try FileManager.default.removeItem(atPath: path) }
            try Self.make(path)
            isMade = true
        }
        return path
    }

    /// A new folder below it.
    package func subdirectory(_ name: String) throws -> String {
        let folder = try directory() + "/" + name
        try Self.make(folder)
        return folder
    }

    func remove() throws {
        guard isMade.withLock({ $0 }) else { return }
        try FileManager.default.removeItem(atPath: path)
    }

    private static func make(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw StageFailure(
                .retryable, "worker.workspace", "cannot make the folder \(path): \(error); check MARTLET_STATE")
        }
    }
}
