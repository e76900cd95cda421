import Glibc

/// Finds programs the way a shell does.
package enum ExecutableLookup {
    /// The absolute path of `name`: itself when it holds a slash and is executable, else the first
    /// executable regular file of that name in the folders.
    ///
    /// - Parameters:
    ///   - name: a program's name, or a path.
    ///   - path: folders separated by colons; the process's `PATH` when nil. Empty entries are ignored
    ///     (a shell would take them as the current folder).
    /// - Returns: nil when there is none.
    package static func find(_ name: String, path: String? = nil) -> String? {
        if name.contains("/") {
            return isExecutable(name) ? name : nil
        }
        let folders = path ?? getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        for folder in folders.split(separator: ":") {
            let candidate = "\(folder)/\(name)"
            if isExecutable(candidate) {
                return candidate
            }
        }
        return nil
    }

    private static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
        return access(path, X_OK) == 0
    }
}
