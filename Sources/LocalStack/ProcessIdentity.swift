package import Glibc

/// One process of one boot: a pid alone may be another process's by now.
package struct ProcessIdentity: Codable, Hashable, Sendable {
    /// The process id, which is also the id of its group.
    package let pid: pid_t
    /// Clock ticks after boot at which it started (field 22 of `/proc/PID/stat`).
    package let startTicks: UInt64
    /// The kernel's id of the boot.
    package let bootID: String

    /// The identity of a process that exists; nil when it is gone or a zombie.
    package static func of(_ pid: pid_t) -> ProcessIdentity? {
        guard let text = try? FileSystem.read("/proc/\(pid)/stat", last: 4_096),
            // The second field is the program's name in parentheses and may hold any character.
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X", let ticks = UInt64(fields[19]) else { return nil }
        return ProcessIdentity(pid: pid, startTicks: ticks, bootID: currentBootID)
    }

    /// True while this very process runs.
    package var isAlive: Bool {
        Self.of(pid) == self
    }

    /// Signals the process, or its group, when it is still this very process.
    @discardableResult
    package func signal(_ number: Int32, group: Bool) -> Bool {
        guard isAlive else { return false }
        return kill(group ? -pid : pid, number) == 0
    }

    /// Asks a process that is not this process's child to stop, kills its group after `grace`, and returns once it is
    /// gone; also when the caller is cancelled.
    /// - Returns: false when it is still there after SIGKILL.
    package func stop(grace: Duration) async -> Bool {
        await RunningServer(process: self, child: nil, since: .now).stop(
            StopPolicy(signal: SIGTERM, grace: grace, wholeGroup: false))
    }

    /// How long it has run.
    package var age: Duration {
        var now = timespec()
        clock_gettime(CLOCK_BOOTTIME, &now)
        let started = Double(startTicks) / Double(sysconf(Int32(_SC_CLK_TCK)))
        let seconds = Double(now.tv_sec) + Double(now.tv_nsec) / 1e9 - started
        return .seconds(max(0, seconds))
    }

    private static let currentBootID: String = {
        let text = try? FileSystem.read("/proc/sys/kernel/random/boot_id", last: 128)
        return text?.split(separator: "\n").first.map(String.init) ?? ""
    }()
}
