import Dispatch
import Glibc

/// Sockets for finding out, closed again at once.
enum Socket {
    struct Failure: Error, CustomStringConvertible {
        let description: String
        /// As in errno; 0 for a name that is not known.
        var code: Int32 = 0
    }

    /// Whether somebody could listen there.
    static func listen(host: String, port: Int) throws {
        var last = Failure(description: "\(host) is no address of this machine")
        for address in try lookUp(host, port) {
            let descriptor = socket(address.family, address.kind, 0)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            // As servers do: the leftovers of ended connections are no obstacle.
            var yes: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
            let result = address.withPointer { bind(descriptor, $0, $1) == 0 && Glibc.listen(descriptor, 1) == 0 }
            if result { return }
            last = Failure(description: "\(host):\(port): \(String(cString: strerror(errno)))", code: errno)
        }
        throw last
    }

    /// Connects to the first address that answers.
    /// - Returns: all addresses of the host.
    static func connect(host: String, port: Int, within limit: Duration) async throws -> [String] {
        // Looking up a name and connecting block, so a thread of Dispatch's waits for them.
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try connectNow(host, port, limit) })
            }
        }
    }

    private static func connectNow(_ host: String, _ port: Int, _ limit: Duration) throws -> [String] {
        let addresses = try lookUp(host, port)
        var last = Failure(description: "\(host) has no address")
        for address in addresses {
            let descriptor = socket(address.family, address.kind | Int32(SOCK_NONBLOCK.rawValue), 0)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            _ = address.withPointer { Glibc.connect(descriptor, $0, $1) }
            var interest = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            var code: Int32 = ETIMEDOUT
            if poll(&interest, 1, Int32(limit / .milliseconds(1))) == 1 {
                var size = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
            }
            guard code != 0 else { return addresses.map(\.text) }
            last = Failure(description: "\(host):\(port): \(String(cString: strerror(code)))", code: code)
        }
        throw last
    }

    private struct Address {
        var family: Int32
        var kind: Int32
        var storage = sockaddr_storage()
        var length: socklen_t
        /// Numeric.
        var text: String

        func withPointer<Value>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
            withUnsafePointer(to: storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
            }
        }
    }

    private static func lookUp(_ host: String, _ port: Int) throws -> [Address] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(host, String(port), &hints, &first)
        guard result == 0 else {
            throw Failure(description: "\(host): \(String(cString: gai_strerror(result)))")
        }
        defer { freeaddrinfo(first) }
        return sequence(first: first, next: { $0?.pointee.ai_next }).compactMap { entry in
            guard let entry = entry?.pointee, let source = entry.ai_addr else { return nil }
            var name = [CChar](repeating: 0, count: 64)
            getnameinfo(source, entry.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
            let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            var address = Address(
                family: entry.ai_family, kind: entry.ai_socktype, length: entry.ai_addrlen, text: text)
            withUnsafeMutableBytes(of: &address.storage) { bytes in
                bytes.copyMemory(from: UnsafeRawBufferPointer(start: source, count: Int(entry.ai_addrlen)))
            }
            return address
        }
    }
}
