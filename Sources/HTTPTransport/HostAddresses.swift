import Glibc

/// What a name resolves to here; for the one case where the connection is made elsewhere, by a proxy.
enum HostAddresses {
    /// Empty when the name is unknown here: then only the proxy can tell. `getaddrinfo` blocks, so a thread of its
    /// own waits for it; a cancelled caller leaves that thread to end by itself.
    static func resolve(_ host: String) async -> [IPAddress] {
        await withCheckedContinuation { continuation in
            let job = Unmanaged.passRetained(Job(host: host, continuation: continuation))
            var thread = pthread_t()
            let result = pthread_create(
                &thread, nil,
                { context in
                    pthread_detach(pthread_self())
                    guard let context else { return nil }
                    let job = Unmanaged<Job>.fromOpaque(context).takeRetainedValue()
                    job.continuation.resume(returning: HostAddresses.lookUp(job.host))
                    return nil
                }, job.toOpaque())
            if result != 0 {
                job.release()
                continuation.resume(returning: [])
            }
        }
    }

    private final class Job: Sendable {
        let host: String
        let continuation: CheckedContinuation<[IPAddress], Never>

        init(host: String, continuation: CheckedContinuation<[IPAddress], Never>) {
            self.host = host
            self.continuation = continuation
        }
    }

    private static func lookUp(_ host: String) -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &first) == 0 else { return [] }
        defer { freeaddrinfo(first) }
        return sequence(first: first, next: { $0?.pointee.ai_next }).compactMap { entry in
            entry?.pointee.ai_addr.flatMap { IPAddress($0) }
        }
    }
}
