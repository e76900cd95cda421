import CLinux
import Glibc

/// Reads a pipe on a thread of its own into a bounded queue of lines.
///
/// A blocking thread rather than an event source: there are a handful of children per process, the
/// thread costs its 128 KiB stack, and "the queue is full" is simply a thread that waits.
final class PipeReader: @unchecked Sendable {
    // Proof for `@unchecked Sendable`: `queue` is read and written only while `mutex` is held;
    // `descriptor`, `splitter` and the read buffer belong to the reader thread; `mutex`, `changed`
    // and `wakeup` are set in `init` and never replaced.

    private struct Queue {
        var lines: [OutputLine] = []
        var first = 0
        var waiter: CheckedContinuation<OutputLine?, Never>?
        var isFinished = false
        var isDiscarding = false
        var childHasExited = false

        var isFull: Bool { lines.count - first >= PipeReader.queueLimit && !isDiscarding }

        /// Queues the line, or returns the consumer that waits for it.
        mutating func accept(_ line: OutputLine) -> CheckedContinuation<OutputLine?, Never>? {
            if isDiscarding { return nil }
            if let waiting = waiter {
                waiter = nil
                return waiting
            }
            lines.append(line)
            return nil
        }

        mutating func take() -> OutputLine? {
            guard first < lines.count else { return nil }
            let line = lines[first]
            first += 1
            if first == lines.count {
                lines.removeAll(keepingCapacity: true)
                first = 0
            }
            return line
        }
    }

    /// How long output is still read after the child's exit, in milliseconds: what a surviving
    /// descendant wrote in time is kept, and one that never closes the pipe does not hold the end.
    private static let lingerMilliseconds: Int32 = 250
    fileprivate static let queueLimit = 256

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private let wakeup: Int32
    private var queue = Queue()

    /// Takes over `descriptor`, the read end of a pipe, and starts the thread.
    /// - Parameters:
    ///   - descriptor: closed when the stream has ended.
    ///   - lineLimit: the longest line kept, in bytes.
    init(descriptor: Int32, lineLimit: Int) throws(ChildProcessError) {
        wakeup = martlet_eventfd()
        guard wakeup >= 0 else {
            let number = errno
            close(descriptor)
            throw ChildProcessError(
                code: .spawnFailed,
                message:
                    "cannot make an event descriptor: \(systemMessage(number)); raise the limit on open files (ulimit -n)",
                errorNumber: number)
        }
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        changed.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
        do {
            try startThread(named: "child-output") { self.run(descriptor, lineLimit) }
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
        close(wakeup)
    }

    /// The next line; nil at the end, or when the calling task is cancelled.
    func next() async -> OutputLine? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let ready: OutputLine?? = locked { queue in
                    if let line = queue.take() {
                        pthread_cond_signal(changed)
                        return .some(line)
                    }
                    if queue.isFinished || queue.isDiscarding || queue.waiter != nil { return .some(nil) }
                    queue.waiter = continuation
                    return nil
                }
                if let ready { continuation.resume(returning: ready) }
            }
        } onCancel: {
            discard()
        }
    }

    /// Throws away what waits and what comes, so that the child never blocks on a pipe nobody reads.
    func discard() {
        let waiter = locked { queue in
            queue.isDiscarding = true
            queue.lines.removeAll()
            queue.first = 0
            let waiter = queue.waiter
            queue.waiter = nil
            pthread_cond_signal(changed)
            return waiter
        }
        waiter?.resume(returning: nil)
    }

    /// Says that the child is gone: what it wrote is still read, then the stream ends.
    func childExited() {
        locked { $0.childHasExited = true }
        var one: UInt64 = 1
        // A full counter (EAGAIN) means that a wake-up is pending already.
        _ = write(wakeup, &one, MemoryLayout<UInt64>.size)
    }

    private func run(_ descriptor: Int32, _ lineLimit: Int) {
        var splitter = LineSplitter(limit: lineLimit)
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while awaitReadable(descriptor) {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            for line in splitter.append(buffer[..<count]) {
                deliver(line)
            }
        }
        close(descriptor)
        if let line = splitter.finish() {
            deliver(line)
        }
        let waiter = locked { queue in
            queue.isFinished = true
            let waiter = queue.waiter
            queue.waiter = nil
            return waiter
        }
        waiter?.resume(returning: nil)
    }

    /// Waits until the pipe has bytes or has ended; false when the child is gone and the pipe stays silent.
    private func awaitReadable(_ descriptor: Int32) -> Bool {
        while true {
            let lingering = locked { $0.childHasExited }
            var polled = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&polled, lingering ? 1 : 2, lingering ? Self.lingerMilliseconds : -1)
            if count < 0, errno != EINTR { return false }
            if polled[0].revents != 0 { return true }
            if count == 0 { return false }
        }
    }

    private func deliver(_ line: OutputLine) {
        pthread_mutex_lock(mutex)
        // The wait gives the mutex up, so no access to `queue` may span it.
        while queue.isFull {
            pthread_cond_wait(changed, mutex)
        }
        let waiter = queue.accept(line)
        pthread_mutex_unlock(mutex)
        waiter?.resume(returning: line)
    }

    /// Runs `body` with the queue while the mutex is held; a condition wait inside `body` re-reads the queue.
    private func locked<Result>(_ body: (inout Queue) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&queue)
    }
}
