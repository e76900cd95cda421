import Glibc

/// What every Prometheus client reports of its process, read from `/proc/self` when asked.
enum ProcessMetrics {
    private static let cpu = MetricDefinition.counter(
        "process_cpu_seconds_total", "User and system CPU time spent in seconds.")
    private static let resident = MetricDefinition.gauge(
        "process_resident_memory_bytes", "Resident memory size in bytes.")
    private static let virtual = MetricDefinition.gauge(
        "process_virtual_memory_bytes", "Virtual memory size in bytes.")
    private static let start = MetricDefinition.gauge(
        "process_start_time_seconds", "Start time of the process since the Unix epoch in seconds.")
    private static let open = MetricDefinition.gauge("process_open_fds", "Number of open file descriptors.")
    private static let limit = MetricDefinition.gauge("process_max_fds", "Maximum number of open file descriptors.")

    /// The values that this system reports; a missing one is left out.
    static func read() -> [(MetricDefinition, Double)] {
        var result: [(MetricDefinition, Double)] = []
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        // Fields after the program's name in parentheses, which may hold any character; the first is number 3.
        if let stat = text("/proc/self/stat"), let end = stat.lastIndex(of: ")") {
            let fields = stat[stat.index(after: end)...].split(separator: " ")
            func field(_ number: Int) -> Double? {
                number - 3 < fields.count ? Double(fields[number - 3]) : nil
            }
            if let user = field(14), let system = field(15) { result.append((cpu, (user + system) / ticks)) }
            if let pages = field(24) { result.append((resident, pages * Double(sysconf(Int32(_SC_PAGESIZE))))) }
            if let bytes = field(23) { result.append((virtual, bytes)) }
            if let started = field(22), let boot = bootTime { result.append((start, boot + started / ticks)) }
        }
        if let count = openFiles() { result.append((open, Double(count))) }
        var files = rlimit()
        if getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &files) == 0, files.rlim_cur != rlim_t.max {
            result.append((limit, Double(files.rlim_cur)))
        }
        return result
    }

    /// Seconds since 1970 at which the system started.
    private static let bootTime: Double? = text("/proc/stat")?.split(separator: "\n")
        .first { $0.hasPrefix("btime ") }
        .flatMap { Double($0.dropFirst(6)) }

    private static func openFiles() -> Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // Not: ".", "..", and the descriptor of this very listing.
        return max(0, count - 3)
    }

    private static func text(_ path: String) -> String? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while bytes.count < 1 << 18 {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes.append(contentsOf: buffer[..<count])
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
