import FoundationEssentials

/// Memory that an engine can have now.
enum Memory {
    /// Bytes that are free on the machine, from /proc/meminfo (proc(5)); nil where it cannot be read.
    static func available() -> Int64? {
        guard let bytes = FileManager.default.contents(atPath: "/proc/meminfo") else { return nil }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        where line.hasPrefix("MemAvailable:") {
            return line.split(separator: " ").dropFirst().first.flatMap { Int64($0) }.map { $0 * 1_024 }
        }
        return nil
    }
}
