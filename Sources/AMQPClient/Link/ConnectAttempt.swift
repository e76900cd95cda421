import Glibc
import SocketExecutor
import Synchronization

/// A login on a thread of its own, so that the connection's thread goes on keeping deadlines: name
/// resolution cannot be interrupted.
final class ConnectAttempt: Sendable {
    private enum State {
        case running
        case abandoned
        case finished(Result<AMQPTransport, AMQPError>)
        case taken
    }

    private let state = Mutex(State.running)

    /// - Parameter executor: signalled when the result is there.
    init(_ login: Login, executor: SocketExecutor) {
        let start = Unmanaged.passRetained(Start(attempt: self, login: login, executor: executor))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                start.attempt.finish(Result { () throws(AMQPError) in try start.login.run() })
                start.executor.signal()
                return nil
            }, start.toOpaque())
        if status != 0 {
            start.release()
            finish(
                .failure(
                    AMQPError(
                        .connectionFailed, "no thread for a connection: \(String(cString: strerror(status)))",
                        isRetryable: true)))
            executor.signal()
        }
    }

    private final class Start: Sendable {
        let attempt: ConnectAttempt
        let login: Login
        let executor: SocketExecutor

        init(attempt: ConnectAttempt, login: Login, executor: SocketExecutor) {
            self.attempt = attempt
            self.login = login
            self.executor = executor
        }
    }

    /// The thread is still at work.
    var isRunning: Bool {
        state.withLock { state in
            switch state {
            case .running, .abandoned: true
            case .finished, .taken: false
            }
        }
    }

    /// The result, once.
    func take() -> Result<AMQPTransport, AMQPError>? {
        state.withLock { state in
            guard case .finished(let result) = state else { return nil }
            state = .taken
            return result
        }
    }

    /// Nobody will take the result: it is destroyed where it is made.
    func abandon() {
        state.withLock { state in
            if case .running = state { state = .abandoned } else { state = .taken }
        }
    }

    private func finish(_ result: Result<AMQPTransport, AMQPError>) {
        state.withLock { state in
            if case .abandoned = state { state = .taken } else { state = .finished(result) }
        }
    }
}
