import Glibc
import Synchronization

/// Writes whole lines to a descriptor: lines of several threads never mix.
final class LogSink: Sendable {
    private let descriptor: Int32
    private let lock = Mutex(())

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Blocks while the reader of a full pipe does not read: a log line is never dropped silently.
    func write(_ line: [UInt8]) {
        lock.withLock { _ in
            var offset = 0
            while offset < line.count {
                let count = line.withUnsafeBytes { buffer in
                    Glibc.write(descriptor, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
                }
                if count < 0, errno == EINTR { continue }
                if count < 0, errno == EAGAIN {
                    var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&polled, 1, 1_000)
                    continue
                }
                // The other end is gone: there is nowhere left to complain.
                guard count > 0 else { return }
                offset += count
            }
        }
    }
}
