#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Walks and makes directories without following symbolic links.
enum DirectoryTree {
    private static let mostFiles = 100_000

    /// The relative names of all regular files below, sorted.
    /// - Throws: `FileError`; `S3Error` with code `.localFile` for anything that is neither file nor directory.
    static func files(below root: String) throws -> [String] {
        var found: [String] = []
        var pending = [""]
        while let folder = pending.popLast() {
            for name in try entries(of: folder.isEmpty ? root : "\(root)/\(folder)") {
                let relative = folder.isEmpty ? name : "\(folder)/\(name)"
                switch try kind("\(root)/\(relative)") {
                case S_IFDIR: pending.append(relative)
                case S_IFREG: found.append(relative)
                default:
                    throw S3Error(
                        code: .localFile,
                        message: "\(root)/\(relative) is neither a file nor a directory (symbolic links are not "
                            + "followed); remove it or publish the files by name")
                }
                guard found.count <= mostFiles else {
                    throw S3Error(code: .localFile, message: "\(root) holds more than \(mostFiles) files; pack them")
                }
            }
        }
        return found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Makes the folders that the names need. A symbolic link in the way would lead outside and is refused.
    static func makeFolders(for names: [String], below root: String) throws {
        var parent = root.hasPrefix("/") ? "/" : ""
        for part in root.split(separator: "/") {
            parent += part
            try makeFolder(parent, following: true)
            parent += "/"
        }
        var made: Set<String> = []
        for name in names {
            var path = ""
            for part in name.split(separator: "/").dropLast() {
                path += path.isEmpty ? String(part) : "/\(part)"
                if made.insert(path).inserted { try makeFolder("\(root)/\(path)", following: false) }
            }
        }
    }

    private static func makeFolder(_ path: String, following: Bool) throws {
        if mkdir(path, 0o777) == 0 { return }
        let reason = errno
        var status = stat()
        let isThere = following ? stat(path, &status) == 0 : lstat(path, &status) == 0
        guard reason == EEXIST, isThere, status.st_mode & S_IFMT == S_IFDIR else {
            throw FileError(path: path, operation: "make the directory", errno: reason)
        }
    }

    private static func entries(of folder: String) throws -> [String] {
        guard let handle = opendir(folder) else { throw FileError(path: folder, operation: "list", errno: errno) }
        defer { closedir(handle) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(handle) else {
                guard errno == 0 else { throw FileError(path: folder, operation: "list", errno: errno) }
                return names
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: pointer.pointee)) {
                    String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    private static func kind(_ path: String) throws -> mode_t {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw FileError(path: path, operation: "inspect", errno: errno) }
        return status.st_mode & S_IFMT
    }
}
