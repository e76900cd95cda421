import CLinux
import Glibc

extension ChildProcess {
    /// Starts a program.
    ///
    /// - Parameters:
    ///   - executable: a path, or a name looked up in this process's `PATH`.
    ///   - arguments: without the program's own name. Visible to every user of the machine: no secrets.
    ///   - environment: all of the child's variables; nothing is inherited. `ProcessEnvironment.current()` is this process's own.
    ///   - workingDirectory: this process's own when nil.
    ///   - stdin: end of file by default.
    ///   - stdout: nowhere by default.
    ///   - stderr: nowhere by default.
    ///   - lineLimit: the longest line kept from a pipe, in bytes.
    ///   - onExit: what happens to the rest of the group.
    /// - Throws: `executableNotFound`, `redirectionFailed` with the file, or `spawnFailed`.
    package static func spawn(
        _ executable: String, arguments: [String] = [], environment: [String: String],
        workingDirectory: String? = nil, stdin: InputSource = .null, stdout: OutputTarget = .null,
        stderr: OutputTarget = .null, lineLimit: Int = 1 << 20, onExit: GroupPolicy = .kill
    ) throws(ChildProcessError) -> ChildProcess {
        guard let path = ExecutableLookup.find(executable) else {
            throw ChildProcessError(
                code: .executableNotFound,
                message: "no executable '\(executable)'" + (executable.contains("/") ? "" : " in PATH")
                    + "; install it or correct the path",
                errorNumber: ENOENT)
        }
        let plan = try SpawnPlan(stdin: stdin, stdout: stdout, stderr: stderr, workingDirectory: workingDirectory)
        let pid = try plan.start(path, [path] + arguments, environment.map { "\($0.key)=\($0.value)" })
        let exit = ChildExit(pid: pid)
        do {
            let out = try plan.takeStdout().map { try PipeReader(descriptor: $0, lineLimit: lineLimit) }
            let err = try plan.takeStderr().map { try PipeReader(descriptor: $0, lineLimit: lineLimit) }
            try startThread(named: "child-\(pid)") {
                exit.watch(sweepGroup: onExit == .kill)
                out?.childExited()
                err?.childExited()
            }
            return ChildProcess(pid: pid, exit: exit, stdout: out, stderr: err)
        } catch {
            // Nobody would ever reap it: end it here, before the caller learns of the failure.
            kill(-pid, SIGKILL)
            exit.watch(sweepGroup: true)
            throw error as? ChildProcessError
                ?? ChildProcessError(code: .spawnFailed, message: "cannot watch process \(pid)", errorNumber: 0)
        }
    }
}
