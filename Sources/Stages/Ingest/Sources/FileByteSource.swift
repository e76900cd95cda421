import Foundation

/// A local file.
package struct FileByteSource: ByteSource {
    package let metadata: SourceMetadata
    private let path: String
    private let chunkBytes: Int

    /// - Throws: `IngestError` with code `ingest.source_not_found` when there is no readable file at `path`.
    package init(path: String, chunkBytes: Int = 256 << 10) throws(IngestError) {
        let uri = "file://" + path
        var status = stat()
        guard stat(path, &status) == 0 else { throw Self.unreadable(uri, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw IngestError(.sourceUnreadable, "\(uri) is not a regular file.")
        }
        let modified = status.st_mtim
        metadata = SourceMetadata(
            uri: uri, size: Int64(status.st_size), validator: "mtime:\(modified.tv_sec).\(modified.tv_nsec)")
        self.path = path
        self.chunkBytes = chunkBytes
    }

    package func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable {
        FileChunks(path: path, uri: metadata.uri, chunkBytes: chunkBytes)
    }

    static func unreadable(_ uri: String, _ code: Int32) -> IngestError {
        let reason = String(cString: strerror(code))
        if code == ENOENT || code == ENOTDIR {
            return IngestError(
                .sourceNotFound,
                "\(uri): no such file. Check the path; it must exist on every worker of the ingest pool.")
        }
        return IngestError(.sourceUnreadable, "\(uri) cannot be read: \(reason).", isRetryable: code == EIO)
    }
}

/// The chunks of a local file, each read when it is asked for.
private struct FileChunks: AsyncSequence, Sendable {
    typealias Element = [UInt8]
    typealias Failure = any Error

    let path: String
    let uri: String
    let chunkBytes: Int

    func makeAsyncIterator() -> Iterator { Iterator(chunks: self) }

    struct Iterator: AsyncIteratorProtocol {
        let chunks: FileChunks
        private var file: OpenFile?

        init(chunks: FileChunks) {
            self.chunks = chunks
        }

        mutating func next() async throws -> [UInt8]? {
            try Task.checkCancellation()
            let file = try file ?? OpenFile(path: chunks.path, uri: chunks.uri)
            self.file = file
            let bytes = try file.read(upTo: chunks.chunkBytes)
            return bytes.isEmpty ? nil : bytes
        }
    }
}

/// A file descriptor that closes itself.
private final class OpenFile {
    private let descriptor: Int32
    private let uri: String

    init(path: String, uri: String) throws(IngestError) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        self.uri = uri
        guard descriptor >= 0 else { throw FileByteSource.unreadable(uri, errno) }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    func read(upTo count: Int) throws(IngestError) -> [UInt8] {
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            var result = -1
            repeat {
                result = Foundation.read(descriptor, buffer.baseAddress, count)
            } while result < 0 && errno == EINTR
            failure = result < 0 ? errno : 0
            filled = max(0, result)
        }
        guard failure == 0 else { throw FileByteSource.unreadable(uri, failure) }
        return bytes
    }
}
