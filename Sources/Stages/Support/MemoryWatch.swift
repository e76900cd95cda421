import FoundationEssentials
import Glibc
import Pipeline
import Synchronization

/// The memory of a process as it was seen last: the kernel tells nothing of one that it has ended.
final class MemoryWatch: Sendable {
    private let pid: pid_t
    private let peak = Mutex<Int64?>(nil)

    init(of pid: pid_t) {
        self.pid = pid
    }

    /// Looks once a second, until cancelled.
    func keepLooking() async {
        while !Task.isCancelled {
            look()
            do { try await Task.sleep(for: .seconds(1)) } catch { return }
        }
    }

    func look() {
        guard let kibibytes = Self.number(after: "VmHWM:", in: "/proc/\(pid)/status") else { return }
        peak.withLock { $0 = kibibytes << 10 }
    }

    /// With the numbers that an engineer asks for first.
    var description: String {
        let held = peak.withLock(\.self).map { "it held \($0 >> 20) MiB at most when last looked at" }
        let limit = Self.limit().map { "\($0 >> 20) MiB are the limit here" }
        return [held ?? "what it held is not known", limit].compactMap(\.self).joined(separator: ", ")
    }

    var details: JSONValue {
        .object([
            "peak_rss_bytes": peak.withLock(\.self).map(JSONValue.int) ?? .null,
            "memory_limit_bytes": Self.limit().map(JSONValue.int) ?? .null,
        ])
    }

    /// Bytes that processes of this control group may hold together: the least of its own limit, those of the groups
    /// around it (cgroup v2, `memory.max`; v1, `memory.limit_in_bytes`), and the machine's memory.
    static func limit(root: String = "") -> Int64? {
        var limits: [Int64] = []
        if let kibibytes = number(after: "MemTotal:", in: root + "/proc/meminfo") { limits.append(kibibytes << 10) }
        for line in text(root + "/proc/self/cgroup").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let file: String
            var folder = root + "/sys/fs/cgroup"
            switch (parts[1], parts[1].split(separator: ",").contains("memory")) {
            case ("", _): file = "/memory.max"
            case (_, true): (file, folder) = ("/memory.limit_in_bytes", folder + "/memory")
            default: continue
            }
            for name in [""] + parts[2].split(separator: "/").map({ "/" + $0 }) {
                folder += name
                if let bytes = Int64(text(folder + file).filter { !$0.isWhitespace }) { limits.append(bytes) }
            }
        }
        return limits.min()
    }

    private static func number(after label: String, in path: String) -> Int64? {
        text(path).split(separator: "\n").first { $0.hasPrefix(label) }?
            .split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int64($0) }
    }

    /// Empty for a file that is not there, such as those of a process that has ended.
    private static func text(_ path: String) -> String {
        (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    }
}
