import Glibc
import Synchronization

/// A TCP proxy that can fall silent or break, for faults of the network.
final class FaultProxy: Sendable {
    private struct State {
        var isFrozen = false
        var isClosed = false
        var sockets: [Int32] = []
        var accepted = 0
    }

    let port: UInt16
    private let listener: Int32
    private let target: UInt16
    private let state = Mutex(State())

    /// - Parameter target: a port of this machine.
    init(to target: UInt16) throws {
        self.target = target
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.loopback(port: 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size) | listen(listener, 16) | getsockname(listener, address, &size)
            }
        }
        guard status == 0 else { throw Overdue(what: "proxy: errno \(errno)") }
        port = UInt16(bigEndian: address.sin_port)
        thread { [self] in accept() }
    }

    var connections: Int { state.withLock(\.accepted) }

    /// Bytes stop in both directions, as behind a dead router; connections stay open.
    func freeze() { state.withLock { $0.isFrozen = true } }
    func thaw() { state.withLock { $0.isFrozen = false } }

    /// Breaks every connection with a reset; new ones are accepted.
    func cut() {
        let sockets = state.withLock { state in
            defer { state.sockets = [] }
            return state.sockets
        }
        for socket in sockets { Glibc.shutdown(socket, Int32(SHUT_RDWR)) }
    }

    func close() {
        state.withLock { $0.isClosed = true }
        Glibc.shutdown(listener, Int32(SHUT_RDWR))
        cut()
    }

    private func accept() {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0, !state.withLock(\.isClosed) else { break }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Self.loopback(port: target)
            let status = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard status == 0 else {
                Glibc.close(client)
                Glibc.close(server)
                continue
            }
            state.withLock {
                $0.sockets += [client, server]
                $0.accepted += 1
            }
            thread { [self] in pump(client, server) }
            thread { [self] in pump(server, client) }
        }
        Glibc.close(listener)
    }

    private func pump(_ source: Int32, _ sink: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(source, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            while state.withLock({ $0.isFrozen && !$0.isClosed && $0.sockets.contains(source) }) { usleep(5_000) }
            var offset = 0
            while offset < count {
                let sent = buffer.withUnsafeBytes {
                    send(sink, $0.baseAddress.map { $0 + offset }, count - offset, Int32(MSG_NOSIGNAL))
                }
                guard sent > 0 else { break }
                offset += sent
            }
        }
        // The descriptors are left to the process's end: closing one here could hit another's new socket.
        Glibc.shutdown(source, Int32(SHUT_RDWR))
        Glibc.shutdown(sink, Int32(SHUT_RDWR))
    }

    private static func loopback(port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }
}

/// A detached thread.
func thread(_ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { argument in
            if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
    pthread_detach(thread)
}
