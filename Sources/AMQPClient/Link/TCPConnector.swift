import Glibc

/// Name resolution and TCP connect with a deadline and with errors that say what failed.
enum TCPConnector {
    /// - Returns: a connected, non-blocking socket that child processes do not inherit.
    static func connect(_ configuration: AMQPConfiguration, deadline: ContinuousClock.Instant) throws(AMQPError)
        -> Int32
    {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_family = AF_UNSPEC
        hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(configuration.host, String(configuration.port), &hints, &list)
        guard status == 0 else {
            throw AMQPError(
                .hostNotFound,
                "host '\(configuration.host)' of the broker does not resolve: \(String(cString: gai_strerror(status)))"
                    + "; check the host in the broker URL and the name server",
                isRetryable: true)
        }
        defer { freeaddrinfo(list) }
        var last = AMQPError(.connectionFailed, "host '\(configuration.host)' has no address", isRetryable: true)
        var next = list
        while let address = next?.pointee {
            do {
                return try connect(address, configuration, deadline)
            } catch {
                last = error
            }
            next = address.ai_next
        }
        throw last
    }

    private static func connect(
        _ address: addrinfo, _ configuration: AMQPConfiguration, _ deadline: ContinuousClock.Instant
    ) throws(AMQPError) -> Int32 {
        let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.ai_family, address.ai_socktype | flags, address.ai_protocol)
        guard descriptor >= 0 else { throw failure(configuration, errno) }
        var status = Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno
        if status == EINPROGRESS {
            status = waitUntilWritable(descriptor, deadline)
        }
        guard status == 0 else {
            close(descriptor)
            throw failure(configuration, status)
        }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        // The client coalesces frames itself, so Nagle's delay would only add latency.
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, size)
        setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &one, size)
        return descriptor
    }

    private static func waitUntilWritable(_ descriptor: Int32, _ deadline: ContinuousClock.Instant) -> Int32 {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        while true {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { return ETIMEDOUT }
            let count = poll(&entry, 1, left.pollMilliseconds)
            if count < 0, errno != EINTR { return errno }
            guard count > 0 else { continue }
            var status: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &status, &size)
            return status
        }
    }

    private static func failure(_ configuration: AMQPConfiguration, _ status: Int32) -> AMQPError {
        let hint =
            status == ECONNREFUSED
            ? "nothing listens there; start RabbitMQ or correct the port"
            : "check the address, the network and firewalls"
        return AMQPError(
            .connectionFailed,
            "cannot connect to the broker at \(configuration.endpoint): \(String(cString: strerror(status))); \(hint)",
            isRetryable: true)
    }
}

extension Duration {
    /// Rounded up, for poll(2).
    var pollMilliseconds: Int32 {
        Int32(clamping: components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000 + 1)
    }

    var timeval: timeval {
        Glibc.timeval(tv_sec: Int(components.seconds), tv_usec: Int(components.attoseconds / 1_000_000_000_000))
    }
}
