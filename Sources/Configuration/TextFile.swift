import Glibc

/// Reads small text files.
enum TextFile {
    /// - Throws: ``ConfigurationError`` naming the file: not there, too large, not UTF-8.
    static func read(_ path: String, maximumBytes: Int) throws(ConfigurationError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw refusal(path, "cannot be opened: " + systemMessage(errno)) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw refusal(path, "is not a file")
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw refusal(path, "cannot be read: " + systemMessage(errno)) }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= maximumBytes else {
                throw refusal(path, "is larger than the \(maximumBytes) bytes that are read")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw refusal(path, "is not UTF-8 text: save it in that encoding")
        }
        // A byte order mark says nothing in UTF-8.
        return text.hasPrefix("\u{FEFF}") ? String(text.dropFirst()) : text
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static func refusal(_ path: String, _ fault: String) -> ConfigurationError {
        ConfigurationError(.unreadable, source: path, fault)
    }

    private static func systemMessage(_ code: Int32) -> String {
        String(cString: strerror(code))
    }
}
