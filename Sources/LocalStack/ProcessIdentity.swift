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

    private static let currentBootID: String = {
        let text = try? FileSystem.read("/proc/sys/kernel/random/boot_id", last: 128)
        return text?.split(separator: "\n").first.map(String.init) ?? ""
    }()
}
