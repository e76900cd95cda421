#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A regular file open for reading at any offset; closed with the last reference.
final class InputFile: Sendable {
    let path: String
    /// Bytes when it was opened.
    let size: Int64
    private let descriptor: Int32

    /// - Throws: `FileError`; a directory, socket or device is refused.
    init(path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path: path, operation: "open", errno: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            let reason = status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL
            close(descriptor)
            throw FileError(path: path, operation: "read", errno: reason)
        }
        self.path = path
        self.descriptor = descriptor
        size = Int64(status.st_size)
    }

    deinit {
        close(descriptor)
    }

    /// Fills the buffer from the offset, as far as the file goes.
    /// - Returns: the bytes read; fewer than asked for only at the file's end.
    func read(into buffer: UnsafeMutableRawBufferPointer, offset: Int64) throws -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress?.advanced(by: filled), buffer.count - filled,
                off_t(offset + Int64(filled)))
            if count > 0 {
                filled += count
            } else if count == 0 {
                break
            } else if errno != EINTR {
                throw FileError(path: path, operation: "read", errno: errno)
            }
        }
        return filled
    }

    func read(offset: Int64, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = try read(into: UnsafeMutableRawBufferPointer(buffer), offset: offset)
        }
    }
}
