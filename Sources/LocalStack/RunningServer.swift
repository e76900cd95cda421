import ChildProcess
import Glibc

/// A server's process as this invocation holds it: its own child, or one that another invocation started.
struct RunningServer: Sendable {
    let process: ProcessIdentity
    /// Nil for an adopted server.
    let child: ChildProcess?
    let since: ContinuousClock.Instant

    /// Waits until the process is gone.
    /// - Returns: how it ended, when it was a child.
    func waitForEnd() async -> ExitStatus? {
        if let child { return await child.wait() }
        while process.isAlive {
            // Only a parent is told of an end; others have to look. Cancellation ends the looking.
            guard (try? await Task.sleep(for: .milliseconds(250))) != nil else { return nil }
        }
        return nil
    }

    /// Asks it to stop, kills it when it does not, and returns once it is gone.
    func stop(_ policy: StopPolicy) async -> Bool {
        if let child {
            await child.terminate(signal: policy.signal, grace: policy.grace, wholeGroup: policy.wholeGroup)
            return true
        }
        process.signal(policy.signal, group: policy.wholeGroup)
        if await isGone(within: policy.grace) { return true }
        process.signal(SIGKILL, group: true)
        return await isGone(within: .seconds(10))
    }

    private func isGone(within limit: Duration) async -> Bool {
        let deadline = ContinuousClock.now + limit
        while process.isAlive {
            guard ContinuousClock.now < deadline else { return false }
            // Detached: a cancelled stop still has to see the end it asked for.
            await Task.detached { try? await Task.sleep(for: .milliseconds(50)) }.value
        }
        return true
    }
}
