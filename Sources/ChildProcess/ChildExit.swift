import Glibc
import Synchronization

/// The fate of one child: who waits for it, and whether its pid may still be signalled.
final class ChildExit: Sendable {
    private struct State {
        var status: ExitStatus?
        var waiters: [UInt64: CheckedContinuation<ExitStatus?, Never>] = [:]
        var nextWaiter: UInt64 = 0
    }

    private let state = Mutex(State())
    private let pid: pid_t

    init(pid: pid_t) {
        self.pid = pid
    }

    /// The status once the child is gone.
    var status: ExitStatus? {
        state.withLock { $0.status }
    }

    /// Blocks until the child ends, sweeps its process group, reaps it and wakes the waiters.
    ///
    /// The order matters: while the child is a zombie its pid, which is also its group's id, cannot
    /// be given to anything else, so the sweep can only hit the child's own descendants.
    func watch(sweepGroup: Bool) {
        var info = siginfo_t()
        while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        let waiters = state.withLock { state -> [CheckedContinuation<ExitStatus?, Never>] in
            if sweepGroup {
                kill(-pid, SIGKILL)
            }
            var raw: Int32 = 0
            var reaped: pid_t
            repeat { reaped = waitpid(pid, &raw, 0) } while reaped < 0 && errno == EINTR
            // Only a caller that reaps children it does not own can get here first; the status is then lost.
            state.status = reaped == pid ? ExitStatus(raw: raw) : .exited(255)
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        let status = status
        for waiter in waiters {
            waiter.resume(returning: status)
        }
    }

    /// Sends a signal; false when the child is gone already.
    func signal(_ number: Int32, group: Bool) -> Bool {
        state.withLock { state in
            guard state.status == nil else { return false }
            return kill(group ? -pid : pid, number) == 0
        }
    }

    /// Waits for the end, at most `limit` when one is given (then nil). Cancellation does not end the wait.
    func wait(limit: Duration?) async -> ExitStatus? {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        // Unstructured on purpose: a cancelled caller must still get the full grace it asked for.
        let timer = limit.map { limit in
            Task.detached {
                try? await Task.sleep(for: limit)
                self.giveUp(id)
            }
        }
        defer { timer?.cancel() }
        return await withCheckedContinuation { continuation in
            let status = state.withLock { state -> ExitStatus? in
                if state.status == nil { state.waiters[id] = continuation }
                return state.status
            }
            if let status { continuation.resume(returning: status) }
        }
    }

    private func giveUp(_ id: UInt64) {
        state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: nil)
    }
}

extension ExitStatus {
    /// Decodes what `waitpid` reports.
    init(raw: Int32) {
        let signal = raw & 0x7f
        self = signal == 0 ? .exited((raw >> 8) & 0xff) : .signalled(signal)
    }
}
