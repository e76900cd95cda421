import FoundationEssentials

enum AbsolutePath {
    /// `path` from the root, whatever the current folder is later.
    static func of(_ path: String) throws -> String {
        path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    }
}
