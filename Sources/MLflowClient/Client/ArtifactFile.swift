import Glibc

/// A file in the making beside its destination; removed with the last reference unless it was committed.
final class ArtifactFile: Sendable {
    /// What the system said.
    struct Failure: Error, CustomStringConvertible {
        let errno: Int32
        var description: String { String(cString: strerror(errno)) }
    }

    let descriptor: Int32
    private let destination: String
    private let temporaryPath: String

    init(destination: String) throws {
        self.destination = destination
        temporaryPath = "\(destination).\(String(UInt64.random(in: 0...UInt64.max), radix: 36)).part"
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Failure(errno: Glibc.errno) }
    }

    deinit {
        if descriptor >= 0 {
            close(descriptor)
            unlink(temporaryPath)
        }
    }

    /// Forgets what an earlier attempt wrote.
    func truncate() throws {
        guard ftruncate(descriptor, 0) == 0 else { throw Failure(errno: Glibc.errno) }
    }

    func commit(size: Int64) throws {
        guard ftruncate(descriptor, off_t(size)) == 0, rename(temporaryPath, destination) == 0 else {
            throw Failure(errno: Glibc.errno)
        }
    }

    /// Bytes of a regular file.
    static func size(of path: String) throws -> Int64 {
        var status = stat()
        guard stat(path, &status) == 0 else { throw Failure(errno: Glibc.errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw Failure(errno: EISDIR) }
        return Int64(status.st_size)
    }
}
