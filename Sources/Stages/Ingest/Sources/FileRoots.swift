import Foundation

/// Keeps `file://` sources below the folders that they may be read from.
struct FileRoots: Sendable {
    private let roots: [String]

    init(_ roots: [String]) {
        self.roots = roots
    }

    /// The path with every link resolved, so that what was checked is what is opened.
    /// - Throws: `IngestError` with code `ingest.source_refused`. It is the same whether or not the file exists.
    func resolve(_ path: String, uri: String) throws(IngestError) -> String {
        guard !roots.isEmpty else { return path }
        let resolved = Self.realPath(path)
        for root in roots {
            guard let folder = Self.realPath(root), let resolved else { continue }
            if resolved == folder || resolved.hasPrefix(folder == "/" ? "/" : folder + "/") { return resolved }
        }
        if resolved == nil, roots.contains(where: { path.hasPrefix($0.hasSuffix("/") ? $0 : $0 + "/") }),
            !path.split(separator: "/").contains("..")
        {
            throw FileByteSource.unreadable(uri, ENOENT)
        }
        throw IngestError(
            .sourceRefused,
            "\(uri): files may only be read below \(roots.joined(separator: ", ")) (ingest.file_roots). Put the file there, "
                + "or have whoever runs the workers add its folder.")
    }

    private static func realPath(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }
}
