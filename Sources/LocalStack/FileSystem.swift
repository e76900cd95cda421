import Glibc

/// The few file operations the stack needs, with errors that name the path and the remedy.
enum FileSystem {
    static func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }

    /// Makes a folder and its parents; existing ones keep their mode.
    static func makeFolder(_ path: String, mode: mode_t = 0o755) throws(StackError) {
        if mkdir(path, mode) == 0 {
            // The umask may have taken bits away that another user's server needs.
            chmod(path, mode)
            return
        }
        switch errno {
        case EEXIST:
            var status = stat()
            guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                throw StackError(.dataFolder, "'\(path)' is not a folder; move it away")
            }
        case ENOENT where path.contains("/") && path != "/":
            try makeFolder(parent(of: path), mode: 0o755)
            try makeFolder(path, mode: mode)
        default:
            throw failure("make the folder", path)
        }
    }

    /// Replaces a file in one step: a reader sees the old or the new content, never a part.
    static func write(_ text: String, to path: String, mode: mode_t = 0o600) throws(StackError) {
        let temporary = "\(path).new.\(getpid())"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw failure("write", path) }
        fchmod(descriptor, mode)
        let bytes = Array(text.utf8)
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                close(descriptor)
                unlink(temporary)
                throw failure("write", path)
            }
            offset += count
        }
        close(descriptor)
        guard rename(temporary, path) == 0 else { throw failure("replace", path) }
    }

    /// A file's text, at most `limit` bytes of it from the end; nil when there is no such file.
    static func read(_ path: String, last limit: Int = 1 << 20) throws(StackError) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("read", path)
        }
        defer { close(descriptor) }
        let size = lseek(descriptor, 0, SEEK_END)
        // Files of /proc have no size and cannot be read from the end.
        lseek(descriptor, max(0, size - off_t(limit)), SEEK_SET)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < limit {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("read", path) }
            if count == 0 { break }
            bytes.append(contentsOf: buffer[..<count])
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The last lines of a log; empty when it cannot be read.
    static func tail(_ path: String, lines: Int = 20) -> [String] {
        guard let text = try? read(path, last: 16_384) else { return [] }
        return text.split(separator: "\n").suffix(lines).map { String($0.prefix(500)) }
    }

    /// Removes a folder with all it holds; one that does not exist is fine. Symbolic links are not followed.
    static func removeFolder(_ path: String) throws(StackError) {
        guard let folder = opendir(path) else {
            if errno == ENOENT { return }
            throw failure("remove", path)
        }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        closedir(folder)
        for name in names {
            let child = "\(path)/\(name)"
            var status = stat()
            guard lstat(child, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                try removeFolder(child)
            } else if unlink(child) != 0, errno != ENOENT {
                throw failure("remove", child)
            }
        }
        if rmdir(path) != 0, errno != ENOENT {
            throw failure("remove", path)
        }
    }

    /// Where the symbolic link at `path` points to; nil when there is none.
    static func link(at path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The path without symbolic links; must exist.
    static func realPath(_ path: String) throws(StackError) -> String {
        guard let resolved = realpath(path, nil) else { throw failure("resolve", path) }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    static func failure(_ verb: String, _ path: String) -> StackError {
        StackError(.dataFolder, "cannot \(verb) '\(path)': \(systemMessage(errno))")
    }
}

/// The system's text for an error number.
func systemMessage(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
