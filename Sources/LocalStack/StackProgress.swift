/// One step of starting or stopping a server, for people who wait.
package struct StackProgress: Sendable, CustomStringConvertible {
    package enum Phase: Sendable, Equatable {
        case starting
        /// Its process exists.
        case launched(ProcessIdentity)
        /// It answers; it was started by this call.
        case ready
        /// It answers; it was running already.
        case alreadyRunning
        case stopping
        case stopped
        /// What happened that somebody should know: a changed port, a data folder elsewhere.
        case notice(String)
        case failed(String)
    }

    package let server: ServerName
    package let phase: Phase
    /// Since the step's begin.
    package let elapsed: Duration

    package var description: String {
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        let time = "\((seconds * 10).rounded() / 10) s"
        return switch phase {
        case .starting: "\(server.title): starting"
        case .launched(let process): "\(server.title): process \(process.pid)"
        case .ready: "\(server.title): ready after \(time)"
        case .alreadyRunning: "\(server.title): already running"
        case .stopping: "\(server.title): stopping"
        case .stopped: "\(server.title): stopped after \(time)"
        case .notice(let text): "\(server.title): \(text)"
        case .failed(let reason): "\(server.title): failed after \(time): \(reason)"
        }
    }
}
