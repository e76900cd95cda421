#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A local file that could not be opened, read or written.
package struct FileError: Error, Sendable, CustomStringConvertible {
    package let path: String
    /// What was tried: "open", "write".
    package let operation: String
    package let errno: Int32

    package var description: String {
        "cannot \(operation) \(path): \(String(cString: strerror(errno)))"
    }
}
