import FoundationEssentials
import Glibc

/// Gives back the program's own code that only starting has touched.
///
/// A static program has tens of megabytes of code, of which an idle process runs very little; but the kernel maps what
/// surrounds every page that was ever touched, and keeps it mapped. The pages are the file's, so nothing is lost: what
/// runs again is mapped again. Only the executable part is given back; the others hold relocations of this process.
enum StartupPages {
    /// Once the process does its work and has been left alone for a moment.
    static func release(when isReady: @Sendable () -> Bool) async {
        do {
            while !isReady() { try await Task.sleep(for: .milliseconds(200)) }
            try await Task.sleep(for: .seconds(1))
        } catch {
            return
        }
        for range in executableRanges() {
            guard let start = UnsafeMutableRawPointer(bitPattern: range.lowerBound) else { continue }
            _ = madvise(start, range.count, MADV_DONTNEED)
        }
    }

    /// Where this program's code lies, from `/proc/self/maps` (proc(5)).
    static func executableRanges() -> [Range<UInt>] {
        guard let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"),
            let bytes = FileManager.default.contents(atPath: "/proc/self/maps")
        else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count >= 6, fields[1] == "r-xp", line.hasSuffix(" " + own) else { return nil }
            let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
            return ends.count == 2 && ends[0] < ends[1] ? ends[0]..<ends[1] : nil
        }
    }
}
