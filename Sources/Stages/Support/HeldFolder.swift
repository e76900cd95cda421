import FoundationEssentials
import Glibc
import Pipeline
import WorkerRuntime

/// A folder for passing files that its process holds for as long as it runs: what a process that was killed has left
/// can be told from what is in use, and removed.
///
/// The hold is a shared flock(2) on the folder, which the kernel drops with the process. Making and sweeping exclude
/// each other by a lock on the parent.
package final class HeldFolder: Sendable {
    package let path: String
    private let descriptor: Int32

    /// Makes the folder, readable by this user only. What an earlier process left under this name is removed, unless
    /// that process still runs.
    /// - Throws: ``StageFailure`` when it cannot be made.
    package init(_ name: String, in parent: String) throws {
        let path = parent + "/" + name
        self.path = path
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        descriptor = try Self.alone(in: parent) {
            if let old = Self.claim(path) {
                try? FileManager.default.removeItem(atPath: path)
                Self.release(old)
            }
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw Self.failure(path) }
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0, flock(descriptor, LOCK_SH) == 0 else { throw Self.failure(path) }
            return descriptor
        }
    }

    deinit {
        Self.release(descriptor)
    }

    package func remove() {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Removes the folders of `parent` that nobody holds.
    /// - Parameter prefix: how their names begin.
    /// - Returns: the names of what was removed.
    @discardableResult
    package static func sweep(_ parent: String, prefix: String = "") -> [String] {
        let removed = try? alone(in: parent) {
            try FileManager.default.contentsOfDirectory(atPath: parent).filter { name in
                guard name.hasPrefix(prefix), let descriptor = claim(parent + "/" + name) else { return false }
                defer { release(descriptor) }
                return (try? FileManager.default.removeItem(atPath: parent + "/" + name)) != nil
            }
        }
        return removed ?? []
    }

    /// A descriptor of a folder that nobody holds; nil when somebody does, or when it is no folder.
    private static func claim(_ path: String) -> Int32? {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// The lock too, as a child that is just being started has the descriptor as well until it is replaced by its program.
    private static func release(_ descriptor: Int32) {
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    private static func alone<Result>(in parent: String, _ body: () throws -> Result) throws -> Result {
        let descriptor = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(parent) }
        defer { release(descriptor) }
        // Held by others for as long as they delete.
        while flock(descriptor, LOCK_EX) != 0 {
            guard errno == EINTR else { throw failure(parent) }
        }
        return try body()
    }

    private static func failure(_ path: String) -> StageFailure {
        StageFailure(
            .retryable, "worker.folder",
            "cannot make or lock the folder \(path): \(String(cString: strerror(errno))); check MARTLET_STATE")
    }
}
