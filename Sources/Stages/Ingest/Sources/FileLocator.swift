import Foundation

/// Finds the files that a `file://` URI names: one file, the files of a folder, or those that a pattern matches.
package enum FileLocator {
    /// Paths in the order of their bytes.
    ///
    /// - Parameters:
    ///   - uri: `file:///path`; the last part may hold `*` and `?`. A folder stands for its files that
    ///     end in `.jsonl`, `.ndjson`, `.json`, `.csv`, `.tsv` or `.parquet`.
    ///   - roots: checked before anything is said of a folder, and again for every file.
    static func paths(for uri: String, within roots: FileRoots = FileRoots([])) throws(IngestError) -> [String] {
        var paths: [String] = []
        for path in try find(uri, roots) { paths.append(try roots.resolve(path, uri: uri)) }
        return paths
    }

    private static func find(_ uri: String, _ roots: FileRoots) throws(IngestError) -> [String] {
        guard uri.hasPrefix("file://") else {
            throw IngestError(.invalidParameters, "\"\(uri)\" is no file:// URI.")
        }
        let encoded = String(uri.dropFirst(7))
        guard encoded.hasPrefix("/"), let path = encoded.removingPercentEncoding else {
            throw IngestError(
                .invalidParameters,
                "\"\(uri)\" must be file:// and an absolute path, such as file:///srv/data/new.jsonl.")
        }
        let folder = path.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 }
        let name = String(path.split(separator: "/").last ?? "")
        if name.contains("*") || name.contains("?"), !FileManager.default.fileExists(atPath: path) {
            _ = try roots.resolve(folder.isEmpty ? "/" : folder, uri: uri)
            let found = try list(folder.isEmpty ? "/" : folder, uri) { matches($0, name) }
            guard !found.isEmpty else {
                throw IngestError(.sourceNotFound, "\(uri): no file in \(folder) matches \"\(name)\".")
            }
            return found
        }
        _ = try roots.resolve(path, uri: uri)
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw FileByteSource.unreadable(uri, ENOENT)
        }
        guard isFolder.boolValue else { return [path] }
        let endings = SourceFormat.endings.map(\.ending)
        let found = try list(path, uri) { name in endings.contains { name.lowercased().hasSuffix($0) } }
        guard !found.isEmpty else {
            throw IngestError(
                .sourceNotFound, "\(uri): the folder holds no file that ends in \(endings.joined(separator: ", ")).")
        }
        return found
    }

    private static func list(
        _ folder: String, _ uri: String, _ isWanted: (String) -> Bool
    ) throws(IngestError) -> [String] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw IngestError(.sourceNotFound, "\(uri): the folder \(folder) cannot be listed.", cause: error)
        }
        let base = folder.hasSuffix("/") ? folder : folder + "/"
        return names.filter { !$0.hasPrefix(".") && isWanted($0) }
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            .map { base + $0 }
    }

    /// Whether `name` matches `pattern`, in which `*` stands for any text and `?` for one character.
    static func matches(_ name: String, _ pattern: String) -> Bool {
        let name = Array(name)
        let pattern = Array(pattern)
        var (at, wanted) = (0, 0)
        var star: (at: Int, wanted: Int)?
        while at < name.count {
            if wanted < pattern.count, pattern[wanted] == "*" {
                star = (at, wanted)
                wanted += 1
            } else if wanted < pattern.count, pattern[wanted] == "?" || pattern[wanted] == name[at] {
                at += 1
                wanted += 1
            } else if let last = star {
                star = (last.at + 1, last.wanted)
                at = last.at + 1
                wanted = last.wanted + 1
            } else {
                return false
            }
        }
        return pattern[wanted...].allSatisfy { $0 == "*" }
    }
}
