import CHiredis  // Its headers bring in `addrinfo`.
import Glibc

/// Looks names up on a thread of its own: `getaddrinfo` blocks for as long as the DNS takes.
enum Resolver {
    private final class Job: Sendable {
        let host: String
        let port: UInt16
        let completion: @Sendable (Result<[SocketAddress], RedisError>) -> Void

        init(
            host: String, port: UInt16,
            completion: @escaping @Sendable (Result<[SocketAddress], RedisError>) -> Void
        ) {
            self.host = host
            self.port = port
            self.completion = completion
        }
    }

    /// - Parameter completion: called on the look-up's thread.
    static func resolve(
        host: String, port: UInt16, completion: @escaping @Sendable (Result<[SocketAddress], RedisError>) -> Void
    ) {
        // A numeric address needs no DNS and so no thread.
        if let address = try? lookUp(host: host, port: port, flags: AI_NUMERICHOST).get() {
            return completion(.success(address))
        }
        let job = Unmanaged.passRetained(Job(host: host, port: port, completion: completion))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let job = Unmanaged<Job>.fromOpaque(argument).takeRetainedValue()
                job.completion(Resolver.lookUp(host: job.host, port: job.port, flags: 0))
                return nil
            }, job.toOpaque())
        if status != 0 {
            job.release()
            completion(.failure(RedisError(.notConnected, "no thread for the name look-up: errno \(status)")))
        }
    }

    private static func lookUp(host: String, port: UInt16, flags: Int32) -> Result<[SocketAddress], RedisError> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = flags
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &list)
        guard status == 0, let list else {
            return .failure(
                RedisError(.notConnected, "the name \(host) is not found: \(String(cString: gai_strerror(status)))"))
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next: UnsafeMutablePointer<addrinfo>? = list
        while let info = next {
            if let address = info.pointee.ai_addr {
                let bytes = UnsafeRawBufferPointer(start: address, count: Int(info.pointee.ai_addrlen))
                addresses.append(SocketAddress(family: info.pointee.ai_family, bytes: Array(bytes)))
            }
            next = info.pointee.ai_next
        }
        return .success(addresses)
    }
}
