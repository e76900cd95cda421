import CCurl
import Glibc
import Synchronization

/// The commands that wait for the transport's thread, and the wake-up that goes with them.
///
/// Separate from the engine so that the thread, which holds the inbox, does not keep the engine alive.
final class CurlInbox: Sendable {
    /// A multi handle as a number: `curl_multi_wakeup` is the one call on it that any thread may make.
    private struct WakeupHandle: Sendable {
        let address: UInt
    }

    private enum Phase {
        case idle
        case running(WakeupHandle)
        case closing(WakeupHandle)
        case closed
    }

    private struct State {
        var phase = Phase.idle
        var commands: [CurlCommand] = []
        var closers: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    private static let startError = HTTPError(
        code: .other, message: "libcurl or its thread could not be started; is the process out of memory or threads?",
        isRetryable: true)
    private static let closedError = HTTPError(
        code: .closed, message: "the HTTP transport is closed; make calls before shutting down")

    /// - Parameter configuration: starts the thread if there is none; `nil` for commands that need none.
    func send(_ command: CurlCommand, starting configuration: HTTPTransportConfiguration?) {
        let refused = state.withLock { state -> CurlCommand? in
            switch state.phase {
            case .idle:
                guard let configuration else {
                    state.phase = .closed
                    return command
                }
                guard let multi = CurlGlobal.makeMulti(),
                    CurlLoop.start(multi: multi, inbox: self, configuration: configuration)
                else { return command }
                state.phase = .running(WakeupHandle(address: UInt(bitPattern: multi)))
                state.commands.append(command)
            case .running(let handle):
                if case .close(let continuation) = command {
                    if let continuation { state.closers.append(continuation) }
                    state.phase = .closing(handle)
                } else {
                    state.commands.append(command)
                }
                // Under the lock: the thread frees the handle only after it has set `closed` under the same lock.
                if state.commands.count <= 1 { Self.wake(handle) }
            case .closing:
                guard case .close(let continuation?) = command else { return command }
                state.closers.append(continuation)
            case .closed:
                return command
            }
            return nil
        }
        guard let refused else { return }
        let isClosed = state.withLock { state in
            if case .idle = state.phase { false } else { true }
        }
        switch refused {
        case .start(_, _, let channel): channel.finish(.failure(isClosed ? Self.closedError : Self.startError))
        case .close(let continuation): continuation?.resume()
        default: break
        }
    }

    private static func wake(_ handle: WakeupHandle) {
        _ = curl_multi_wakeup(UnsafeMutableRawPointer(bitPattern: handle.address))
    }

    // MARK: The thread's side

    /// Everything that waits; `nil` when the thread has to end.
    func take() -> [CurlCommand]? {
        state.withLock { state in
            if case .closing = state.phase { return nil }
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// The thread is about to free its handle: no wake-up after this.
    func markClosed() -> (pending: [CurlCommand], closers: [CheckedContinuation<Void, Never>]) {
        state.withLock { state in
            state.phase = .closed
            defer {
                state.commands = []
                state.closers = []
            }
            return (state.commands, state.closers)
        }
    }

    static func failStart(_ command: CurlCommand) {
        if case .start(_, _, let channel) = command { channel.finish(.failure(closedError)) }
    }
}
