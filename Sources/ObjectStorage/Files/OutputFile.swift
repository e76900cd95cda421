#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file in the making: written under a name of its own beside its destination, seen only when complete.
///
/// What is not committed is removed with the last reference.
final class OutputFile: Sendable {
    let destination: String
    let temporaryPath: String
    /// Open for writing; the transport writes through it.
    let descriptor: Int32

    /// - Throws: `FileError`, for a missing or read-only folder among others.
    init(destination: String) throws {
        self.destination = destination
        let (folder, name) = Self.split(destination)
        // A hidden sibling on the same file system: the final rename is atomic.
        let prefix = String(decoding: name.utf8.prefix(180), as: UTF8.self)
        temporaryPath = "\(folder).\(prefix).\(String(UInt64.random(in: 0...UInt64.max), radix: 36))"
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw FileError(path: destination, operation: "create", errno: errno) }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        // After `commit` the name is gone already; the error is the expected one.
        unlink(temporaryPath)
    }

    /// Reserves the space, so that a full disk is known before the transfer rather than after.
    func reserve(_ size: Int64) throws {
        guard size > 0 else { return }
        #if canImport(Glibc)
            let status = posix_fallocate(descriptor, 0, off_t(size))
            // Some file systems cannot reserve; then the writes themselves tell.
            guard status == 0 || status == EOPNOTSUPP || status == EINVAL else {
                throw FileError(path: destination, operation: "reserve \(size) bytes for", errno: status)
            }
        #endif
    }

    func write(_ bytes: UnsafeRawBufferPointer, offset: Int64) throws {
        var written = 0
        while written < bytes.count {
            let count = pwrite(
                descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written,
                off_t(offset + Int64(written)))
            if count >= 0 {
                written += count
            } else if errno != EINTR {
                throw FileError(path: destination, operation: "write", errno: errno)
            }
        }
    }

    /// The same bytes, for reading them back.
    func reopen() throws -> InputFile {
        try InputFile(path: temporaryPath)
    }

    /// Cuts the file to its size and gives it its name, replacing what was there.
    func commit(size: Int64) throws {
        guard ftruncate(descriptor, off_t(size)) == 0 else {
            throw FileError(path: destination, operation: "truncate", errno: errno)
        }
        guard rename(temporaryPath, destination) == 0 else {
            throw FileError(path: destination, operation: "rename into", errno: errno)
        }
    }

    private static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return ("", path) }
        return (String(path[...slash]), String(path[path.index(after: slash)...]))
    }
}
