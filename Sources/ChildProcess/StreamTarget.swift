/// Where a child's standard input comes from.
package enum InputSource: Sendable {
    /// `/dev/null`: the child reads end of file at once.
    case null
    /// The file at this path.
    case file(String)
    /// A descriptor that the caller owns and closes; the child gets a duplicate.
    case descriptor(Int32)
    /// These bytes, from a file in memory that has no name; any size.
    case bytes([UInt8])
}

/// Where a child's standard output or standard error goes.
package enum OutputTarget: Sendable {
    /// `/dev/null`.
    case null
    /// Appended to the file at this path, which is created with mode 0600.
    case file(String)
    /// Read by this process through `ChildProcess.stdoutLines` or `stderrLines`.
    case pipe
    /// The same place as this process's own stream.
    case inherit
    /// A descriptor that the caller owns and closes; the child gets a duplicate.
    case descriptor(Int32)
}
