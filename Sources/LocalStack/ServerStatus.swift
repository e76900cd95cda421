package import Glibc

/// How one server of a stack is.
package struct ServerStatus: Sendable, Equatable {
    package enum State: Sendable, Equatable {
        /// It answers.
        case ready
        /// The process is there but does not answer; the reason.
        case unhealthy(String)
        /// There is no process.
        case stopped
    }

    package let server: ServerName
    package let state: State
    /// Nil when stopped.
    package let pid: pid_t?
    /// The port that clients use; nil before the first start.
    package let port: UInt16?
    /// Nil when stopped.
    package let runningFor: Duration?
    /// Where its output goes.
    package let logFile: String
}
