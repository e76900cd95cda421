import Glibc

/// Held by the one supervisor of a state folder; freed by the kernel when its process ends, however it ends.
///
/// A lock of fcntl(2) and not of flock(2): others can ask for its holder without taking it for a moment, in which a
/// supervisor that starts would find it taken.
final class SupervisorLock: Sendable {
    private let descriptor: Int32

    // F_OFD_GETLK and F_OFD_SETLK of Linux: of the open file, where a lock of F_SETLK is of the process and lost as soon
    // as the process closes the file anywhere. The importer does not see them without _GNU_SOURCE.
    private static let getLock: Int32 = 36
    private static let setLock: Int32 = 37

    /// - Throws: ``AlreadyRunning`` when another process has it.
    init(state: String) throws {
        let path = state + "/supervisor.lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw AlreadyRunning(description: "cannot open \(path): \(String(cString: strerror(errno)))")
        }
        var lock = Self.wholeFile
        // A throw from here on runs `deinit`, since every property is set: it closes the file.
        guard fcntl(descriptor, Self.setLock, &lock) == 0 else {
            throw AlreadyRunning(description: "the stack in \(state) is already running: `martlet status` shows it")
        }
        let text = "\(getpid())\n"
        ftruncate(descriptor, 0)
        _ = text.withCString { write(descriptor, $0, strlen($0)) }
    }

    deinit {
        // Said, and not left to the closing: a child that is just being started has the file open too until it is replaced by
        // its program.
        var lock = Self.wholeFile
        lock.l_type = Int16(F_UNLCK)
        _ = fcntl(descriptor, Self.setLock, &lock)
        close(descriptor)
    }

    /// The process that holds the lock; nil when nobody does.
    static func holder(state: String) -> pid_t? {
        let descriptor = open(state + "/supervisor.lock", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        while isHeld(descriptor) {
            if let pid = pid(in: descriptor), kill(pid, 0) == 0 || errno == EPERM { return pid }
            // Its holder has not written its own id yet, which follows at once.
            usleep(1_000)
        }
        return nil
    }

    private static func isHeld(_ descriptor: Int32) -> Bool {
        var lock = wholeFile
        return fcntl(descriptor, getLock, &lock) == 0 && lock.l_type != Int16(F_UNLCK)
    }

    private static func pid(in descriptor: Int32) -> pid_t? {
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return count > 0 ? pid_t(String(decoding: bytes.prefix(count), as: UTF8.self).prefix { $0.isNumber }) : nil
    }

    private static var wholeFile: flock {
        var lock = flock()
        lock.l_type = Int16(F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        return lock
    }
}

struct AlreadyRunning: Error, CustomStringConvertible {
    let description: String
}
