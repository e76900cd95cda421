import Glibc

/// An address to connect to, as the bytes of a `sockaddr`.
struct SocketAddress: Sendable {
    let family: Int32
    let bytes: [UInt8]

    /// A non-blocking socket that is connected or connecting, or the errno.
    func connect() -> Result<Int32, Errno> {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { return .failure(Errno(errno)) }
        if family != AF_UNIX {
            var one: Int32 = 1
            let size = socklen_t(MemoryLayout<Int32>.size)
            // Both only improve latency and failure detection; a kernel that refuses them still connects.
            _ = setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, size)
            _ = setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &one, size)
        }
        let status = bytes.withUnsafeBytes { buffer -> Int32 in
            guard let address = buffer.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return -1 }
            return Glibc.connect(descriptor, address, socklen_t(buffer.count))
        }
        // A Unix socket answers EAGAIN when its backlog is full; that is a failure to retry.
        if status == 0 || errno == EINPROGRESS { return .success(descriptor) }
        let failure = Errno(errno)
        close(descriptor)
        return .failure(failure)
    }

    struct Errno: Error, CustomStringConvertible {
        let code: Int32

        init(_ code: Int32) {
            self.code = code
        }

        var description: String { String(cString: strerror(code)) }
    }

    static func unix(_ path: String) -> SocketAddress {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        return SocketAddress(family: AF_UNIX, bytes: withUnsafeBytes(of: address) { Array($0) })
    }
}
