import Foundation

enum OwnExecutable {
    /// This program's file.
    static var path: String {
        URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().path
    }
}
