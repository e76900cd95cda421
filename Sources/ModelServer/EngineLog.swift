import FoundationEssentials
import Glibc

/// What engines write, a file for each of their starts.
enum EngineLog {
    /// Files that are kept.
    private static let limit = 50
    private static let tail = 2_000

    private static func folder(_ state: String) -> String { state + "/log" }

    /// - Returns: the path of the file for an engine's words.
    static func file(_ name: String, in state: String) throws -> String {
        try FileManager.default.createDirectory(
            atPath: folder(state), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        sweep(state)
        return "\(folder(state))/\(name).log"
    }

    /// Removes all but the youngest.
    static func sweep(_ state: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder(state))) ?? []
        let files = names.filter { $0.hasSuffix(".log") }.map { name -> (path: String, changed: Int) in
            let path = "\(folder(state))/\(name)"
            var status = stat()
            return (path, stat(path, &status) == 0 ? status.st_mtim.tv_sec : 0)
        }
        for file in files.sorted(by: { $0.changed > $1.changed }).dropFirst(limit) {
            try? FileManager.default.removeItem(atPath: file.path)
        }
    }

    /// The last lines, however long the file is.
    static func lastWords(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "it wrote nothing" }
        defer { close(descriptor) }
        let size = lseek(descriptor, 0, SEEK_END)
        let text = String(unsafeUninitializedCapacity: tail) { buffer in
            max(0, pread(descriptor, buffer.baseAddress, tail, max(0, size - tail)))
        }
        let words = text.split(separator: "\n").suffix(4).joined(separator: " | ")
        return words.isEmpty ? "it wrote nothing" : words
    }
}
