package import ChildProcess

/// A server's end that nobody asked for.
package struct ServerExit: Sendable {
    package let server: ServerName
    /// How it ended; nil when it was started by another invocation, so that only its absence is known.
    package let status: ExitStatus?
    /// How long it had been running, as far as this process has seen.
    package let uptime: Duration
    /// The end of its log.
    package let logTail: [String]
}
