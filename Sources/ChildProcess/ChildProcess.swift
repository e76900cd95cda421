package import Glibc

/// A program started by this process, in a session and a process group of its own.
///
/// The group's id is the child's pid: what the child starts can be signalled with it, and Ctrl-C in
/// this process's terminal does not reach it. No descriptor but the three standard ones is inherited,
/// and signal dispositions are back at their defaults. When the child ends, whatever is left of its
/// group is killed (see `GroupPolicy`). Dropping the last reference leaves the child running.
package final class ChildProcess: Sendable {
    /// What happens to the rest of the child's group once the child itself has ended.
    package enum GroupPolicy: Sendable {
        /// Everything left is killed: helpers never outlive the process that started them.
        case kill
        /// Everything left keeps running.
        case leave
    }

    /// The child's process id and its group's id.
    package let pid: pid_t
    private let exit: ChildExit
    private let stdoutReader: PipeReader?
    private let stderrReader: PipeReader?

    init(pid: pid_t, exit: ChildExit, stdout: PipeReader?, stderr: PipeReader?) {
        self.pid = pid
        self.exit = exit
        stdoutReader = stdout
        stderrReader = stderr
    }

    /// How the child ended; nil while it runs.
    package var exitStatus: ExitStatus? {
        exit.status
    }

    /// The lines of standard output; nil unless it was started with `stdout: .pipe`.
    package var stdoutLines: OutputLines? {
        stdoutReader.map(OutputLines.init)
    }

    /// The lines of standard error; nil unless it was started with `stderr: .pipe`.
    package var stderrLines: OutputLines? {
        stderrReader.map(OutputLines.init)
    }

    /// Waits for the child's end. Any number of callers; cancelling one does not end its wait, because
    /// the process is still there: signal it first.
    @discardableResult
    package func wait() async -> ExitStatus {
        // Without a limit the wait ends with a status only.
        await exit.wait(limit: nil) ?? .exited(255)
    }

    /// Waits for the child's end for at most `limit`; nil when it still runs then.
    package func wait(atMost limit: Duration) async -> ExitStatus? {
        await exit.wait(limit: limit)
    }

    /// Sends a signal to the child; false when it is gone. A reused pid is never hit.
    @discardableResult
    package func signal(_ number: Int32) -> Bool {
        exit.signal(number, group: false)
    }

    /// Sends a signal to the child and to everything it started in its group; false when the child is gone.
    @discardableResult
    package func signalGroup(_ number: Int32) -> Bool {
        exit.signal(number, group: true)
    }

    /// Asks the child to stop and kills its whole group when it has not done so in time.
    ///
    /// - Parameters:
    ///   - signal: what asks; SIGTERM by default.
    ///   - grace: how long it may take before SIGKILL; also honoured when the caller is cancelled.
    ///   - wholeGroup: whether the group is asked or the child alone; SIGKILL always goes to the group.
    /// - Returns: how it ended.
    @discardableResult
    package func terminate(
        signal number: Int32 = SIGTERM, grace: Duration, wholeGroup: Bool = true
    ) async -> ExitStatus {
        _ = exit.signal(number, group: wholeGroup)
        if let status = await exit.wait(limit: grace) {
            return status
        }
        signalGroup(SIGKILL)
        return await wait()
    }
}
