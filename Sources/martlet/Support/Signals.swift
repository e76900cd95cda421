import Dispatch
import Foundation
import Glibc

/// SIGTERM, SIGINT and SIGHUP as a call instead of an end.
final class Signals: Sendable {
    // Proof: made once, cancelled in deinit, never changed; dispatch sources are thread-safe.
    private nonisolated(unsafe) let sources: [any DispatchSourceProtocol]

    /// - Parameters:
    ///   - input: a descriptor whose end counts as a signal; what comes from it is thrown away.
    ///   - handler: called at the first and every further signal.
    init(orEndOf input: Int32? = nil, handler: @escaping @Sendable () -> Void) {
        sources = [SIGTERM, SIGINT, SIGHUP].compactMap { number in
            // nohup(1) means that the end of a terminal is nothing to this process.
            if Self.isIgnored(signal(number, SIG_IGN)), number == SIGHUP { return nil }
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler(handler: handler)
            source.resume()
            return source
        }
        if let input {
            // A thread that waits, not a dispatch source: libdispatch may touch the source of a pipe that hung up after
            // it was cancelled, and crash.
            Thread.detachNewThread {
                Self.waitForEnd(of: input)
                handler()
            }
        }
    }

    deinit {
        for source in sources { source.cancel() }
    }

    private static func waitForEnd(of input: Int32) {
        var bytes = [UInt8](repeating: 0, count: 512)
        while true {
            var polled = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
            guard poll(&polled, 1, -1) >= 0 || errno == EINTR else { return }
            let count = read(input, &bytes, bytes.count)
            guard count > 0 || count < 0 && (errno == EINTR || errno == EAGAIN) else { return }
        }
    }

    private static func isIgnored(_ handler: sighandler_t?) -> Bool {
        unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// Runs `body` in a task that the first signal cancels, so that what it holds is given back before the process ends.
    /// - Throws: ``Interrupted`` after a signal, whatever became of the error that it caused.
    static func cancelling<Value: Sendable>(
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        // Unstructured: a signal ends it from outside. It begins when a signal no longer ends the process.
        let (isWatched, watched) = AsyncStream.makeStream(of: Void.self)
        let work = Task {
            for await _ in isWatched {}
            return try await body()
        }
        let signals = Signals { work.cancel() }
        watched.finish()
        defer { withExtendedLifetime(signals) {} }
        do {
            return try await work.value
        } catch  where work.isCancelled {
            throw Interrupted()
        }
    }
}

struct Interrupted: Error, CustomStringConvertible {
    let description = "interrupted"
}
