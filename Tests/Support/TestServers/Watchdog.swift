import ChildProcess
import Glibc
import LocalStack
import Synchronization

/// A shell that waits for the test process's end, however it ends, then kills its servers and removes its folder.
///
/// The test process holds the write end of the shell's standard input. The kernel closes that end with the
/// process, also after SIGKILL; no child inherits it. A process is killed only if its start time still
/// matches, so that a reused pid is safe.
package final class Watchdog: Sendable {
    package static let script = """
        trap '' HUP INT TERM
        watched=
        while read -r pid ticks; do watched="$watched $pid:$ticks"; done
        for entry in $watched; do
            pid=${entry%%:*}
            stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
            set -- ${stat##*) }
            [ "${20}" = "${entry##*:}" ] && kill -KILL "-$pid" 2>/dev/null
        done
        # A server that was started again after a crash is not on the list; its working folder tells whose it is.
        folder=$(readlink -f "$MARTLET_TEST_FOLDER")
        for link in /proc/[0-9]*/cwd; do
            case $(readlink "$link" 2>/dev/null) in
            "${folder:-none}"/*) pid=${link#/proc/} && kill -KILL "${pid%/cwd}" 2>/dev/null ;;
            esac
        done
        # SeaweedFS, killed, leaves a socket in /tmp for each of its internal listeners.
        for port in $(sed -n 's/.*"[sw][3e][^"]*" : \\([0-9]*\\).*/\\1/p' "$MARTLET_TEST_FOLDER"/*/ports.json 2>/dev/null); do
            rm -f "/tmp/seaweedfs-"*"-grpc-$port.sock" "/tmp/seaweedfs-admin-grpc-$((port + 10000)).sock"
        done
        # A server's own children notice its death themselves and may still write for a moment.
        for attempt in 1 2 3 4 5 6 7 8 9 10; do
            rm -rf -- "$MARTLET_TEST_FOLDER" 2>/dev/null && break
            sleep 0.2
        done
        """

    private let input: Int32
    private let shell: ChildProcess

    init(folder: String) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw WatchdogError(errorNumber: errno) }
        // The parent's end must not survive an exec elsewhere: the watchdog would wait for that process too.
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        var environment = ProcessEnvironment.minimal()
        environment["MARTLET_TEST_FOLDER"] = folder
        defer { close(ends[0]) }
        do {
            shell = try ChildProcess.spawn(
                "/bin/sh", arguments: ["-c", Self.script], environment: environment, workingDirectory: "/",
                stdin: .descriptor(ends[0]))
        } catch {
            close(ends[1])
            throw error
        }
        input = ends[1]
        installExitHandler()
    }

    /// Adds a process group to those killed at the end.
    func watch(_ process: ProcessIdentity) {
        let line = "\(process.pid) \(process.startTicks)\n"
        _ = line.withCString { write(input, $0, line.utf8.count) }
    }

    /// Waits at a normal exit until the servers are gone, so that `swift test` returns to a clean machine.
    private func installExitHandler() {
        exitHandle.withLock { $0 = (input, shell.pid) }
        atexit {
            guard let (input, pid) = exitHandle.withLock({ $0 }) else { return }
            close(input)
            for _ in 0..<100 where kill(pid, 0) == 0 {
                usleep(50_000)
            }
        }
    }
}

/// What the exit handler, a C function without a context, needs.
private let exitHandle = Mutex<(input: Int32, shell: pid_t)?>(nil)

/// The watchdog could not be made, so no server may be started.
private struct WatchdogError: Error, CustomStringConvertible {
    let errorNumber: Int32

    var description: String {
        "cannot make the watchdog's pipe (errno \(errorNumber)); raise the limit on open files (ulimit -n)"
    }
}
