import FoundationEssentials

/// The processor cores that the threads of engines without a GPU run on.
enum Cores {
    /// Those that this process may use.
    static func allowed() -> [Int] {
        let status = FileManager.default.contents(atPath: "/proc/self/status").map {
            String(decoding: $0, as: UTF8.self)
        }
        let line = status?.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
        return line?.split(separator: ":").last.map { parse($0) } ?? []
    }

    /// A list such as `0-3,8` (proc(5)); what is none is left out.
    static func parse(_ list: some StringProtocol) -> [Int] {
        list.split(separator: ",").flatMap { part in
            let ends = String(part.filter { !$0.isWhitespace }).split(separator: "-").map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last else { return [Int]() }
            return Array(first...last)
        }
    }

    /// The ones that the fewest engines have.
    /// - Parameters:
    ///   - count: how many; nil for all.
    ///   - taken: what every engine has that runs.
    static func choose(_ count: Int?, of allowed: [Int], taken: [[Int]]) -> [Int] {
        guard let count, count < allowed.count else { return allowed }
        var engines: [Int: Int] = [:]
        for core in taken.joined() { engines[core, default: 0] += 1 }
        return allowed.sorted { (engines[$0, default: 0], $0) < (engines[$1, default: 0], $1) }.prefix(count).sorted()
    }
}
