import Glibc

/// Held by the one supervisor of a state folder; freed by the kernel when its process ends, however it ends.
final class SupervisorLock: Sendable {
    private let descriptor: Int32

    /// - Throws: ``AlreadyRunning`` when another supervisor has it.
    init(state: String) throws {
        let path = state + "/supervisor.lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw AlreadyRunning(description: "cannot open \(path): \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw AlreadyRunning(description: "the stack in \(state) is already running: `martlet status` shows it")
        }
        let text = "\(getpid())\n"
        ftruncate(descriptor, 0)
        _ = text.withCString { write(descriptor, $0, strlen($0)) }
    }

    deinit {
        close(descriptor)
    }

    /// The process that holds the lock; nil when nobody does.
    static func holder(state: String) -> pid_t? {
        let descriptor = open(state + "/supervisor.lock", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return nil }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return pid_t(String(decoding: bytes.prefix(count), as: UTF8.self).prefix { $0.isNumber })
    }
}

struct AlreadyRunning: Error, CustomStringConvertible {
    let description: String
}
