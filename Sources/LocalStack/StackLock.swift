import Glibc

/// Serialises invocations that start or stop the same stack.
///
/// `flock(2)` on a file: the kernel drops it when its holder dies, so a lock can never be stale.
struct StackLock: ~Copyable {
    private let descriptor: Int32

    /// Waits for the lock.
    /// - Throws: `locked`, naming the holder, when it is still taken after `timeout`.
    static func acquire(_ path: String, timeout: Duration) async throws -> StackLock {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileSystem.failure("open the lock", path) }
        let deadline = ContinuousClock.now + timeout
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else {
                defer { close(descriptor) }
                throw FileSystem.failure("lock", path)
            }
            guard ContinuousClock.now < deadline else {
                close(descriptor)
                let holder = (try? FileSystem.read(path, last: 64)) ?? ""
                throw StackError(
                    .locked,
                    "process \(holder.isEmpty ? "?" : holder) is starting or stopping this stack (lock '\(path)'); wait for it"
                )
            }
            do {
                // The lock has no wake-up; it is held for seconds, so a tenth of one is close enough.
                try await Task.sleep(for: .milliseconds(100))
            } catch {
                close(descriptor)
                throw error
            }
        }
        let holder = "\(getpid())"
        ftruncate(descriptor, 0)
        _ = holder.withCString { pwrite(descriptor, $0, holder.utf8.count, 0) }
        return StackLock(descriptor: descriptor)
    }

    deinit {
        // A child that is just being started has it open too until it is replaced by its program.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}
