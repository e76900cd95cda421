import Glibc

/// A request body as the transport's thread reads it.
enum UploadSource: Sendable {
    case none
    case bytes([UInt8])
    case file(UploadFile)
    case pipe(UploadPipe, length: Int64?)

    /// Bytes announced to the server; `nil`: chunked.
    var length: Int64? {
        switch self {
        case .none: 0
        case .bytes(let bytes): Int64(bytes.count)
        case .file(let file): file.length
        case .pipe(_, let length): length
        }
    }
}

/// An open file to send from, closed with its last reference.
final class UploadFile: Sendable {
    let path: String
    let length: Int64
    private let descriptor: Int32
    private let offset: Int64

    /// - Throws: `HTTPError` with the path when it cannot be read or is shorter than promised.
    init(path: String, offset: Int64, length: Int64) throws {
        self.path = path
        self.offset = offset
        self.length = length
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw Self.failure(path, "cannot be opened: \(String(cString: strerror(errno)))")
        }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw Self.failure(path, "is not a regular file; send it as a stream")
        }
        guard offset >= 0, length >= 0, Int64(facts.st_size) - offset >= length else {
            throw Self.failure(
                path, "has \(facts.st_size) bytes, but \(length) from byte \(offset) were asked for")
        }
        // A throw above runs `deinit`, since every property is set: it closes the file.
        posix_fadvise(descriptor, off_t(offset), off_t(length), POSIX_FADV_SEQUENTIAL)
    }

    deinit {
        close(descriptor)
    }

    /// - Returns: bytes read; 0 at the end of the file, which is too early when `position < length`; -1 with `errno`.
    func read(at position: Int64, into target: UnsafeMutableRawBufferPointer) -> Int {
        let count = Int(min(Int64(target.count), length - position))
        while true {
            let got = pread(descriptor, target.baseAddress, count, off_t(offset + position))
            if got >= 0 || errno != EINTR { return got }
        }
    }

    static func failure(_ path: String, _ what: String) -> HTTPError {
        HTTPError(code: .fileFailed, message: "the file \(path) to send \(what)")
    }
}
