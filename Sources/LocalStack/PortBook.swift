import Glibc
import Synchronization

/// The stack's ports: chosen once, kept in `ports.json`, chosen again when something else took one.
struct PortBook: Sendable {
    /// Below Linux's range for outgoing connections (from 32768), so that no client socket takes one
    /// while its server is down; below 22768, so that `port + 10000` is too (see `Weed`).
    static let range: ClosedRange<UInt16> = 20_000...22_700
    /// What SeaweedFS adds to its admin port for its second listener.
    static let adminOffset: UInt16 = 10_000

    /// What this process has handed out: a server that is just being started again is not robbed of its port.
    private static let handedOut = Mutex(Set<UInt16>())

    private let file: JSONFile<[String: UInt16]>
    private(set) var ports: [String: UInt16]

    init(path: String) throws(StackError) {
        file = JSONFile(path: path)
        let ports = try file.load() ?? [:]
        Self.handedOut.withLock { $0.formUnion(ports.values) }
        self.ports = ports
    }

    subscript(name: String) -> UInt16 {
        // `reserve` ran for every name of a server before its recipe asks.
        ports[name] ?? 0
    }

    /// Makes sure that each name has a port that can be bound now, and saves.
    /// - Returns: the names whose port had to be changed although it was recorded.
    @discardableResult
    mutating func reserve(_ names: [String]) throws(StackError) -> [String] {
        var moved: [String] = []
        for name in names {
            if let port = ports[name], Self.isFree(port, for: name) { continue }
            if ports[name] != nil { moved.append(name) }
            ports[name] = try choose(for: name)
        }
        try file.save(ports)
        return moved
    }

    /// Waits a moment for what is recorded to become free: a process that is killed is known to be dead before the last
    /// of its threads has let go of its sockets.
    func waitUntilFree(_ names: [String]) async throws(CancellationError) {
        let deadline = ContinuousClock.now + .seconds(3)
        // The kernel tells nobody when a port becomes free.
        while ContinuousClock.now < deadline,
            names.contains(where: { name in ports[name].map { !Self.isFree($0, for: name) } ?? false })
        {
            do { try await Task.sleep(for: .milliseconds(10)) } catch { throw CancellationError() }
        }
    }

    private func choose(for name: String) throws(StackError) -> UInt16 {
        let taken = Set(ports.values)
        for _ in 0..<4_000 {
            let candidate = UInt16.random(in: Self.range)
            guard !taken.contains(candidate), Self.isFree(candidate, for: name) else { continue }
            if Self.handedOut.withLock({ $0.insert(candidate).inserted }) { return candidate }
        }
        throw StackError(
            .startFailed, "no free port for '\(name)' between \(Self.range.lowerBound) and \(Self.range.upperBound)")
    }

    private static func isFree(_ port: UInt16, for name: String) -> Bool {
        canBind(port) && (name != "weed-admin" || canBind(port + adminOffset))
    }

    /// Whether a server could listen on the port of the loopback address now.
    static func canBind(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // As servers do, so that connections of an earlier run in TIME_WAIT do not count.
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        return withLoopbackAddress(port) { bind(descriptor, $0, $1) == 0 && listen(descriptor, 1) == 0 }
    }
}

/// Calls `body` with 127.0.0.1 and the port as a socket address.
func withLoopbackAddress<Result>(
    _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
) -> Result {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}
