import Synchronization

/// Where callers on any thread leave requests for the connection's thread.
final class RequestInbox: Sendable {
    private struct State {
        var requests: [RedisRequest] = []
        var outstanding = 0
        var outstandingBytes = 0
        var isClosed = false
    }

    private let state = Mutex(State())
    private let maximum: Int
    private let maximumBytes: Int

    init(maximum: Int, maximumBytes: Int) {
        self.maximum = maximum
        self.maximumBytes = maximumBytes
    }

    func submit(_ request: RedisRequest) throws {
        try state.withLock { state in
            guard !state.isClosed else { throw RedisError(.closed, "the client was closed") }
            // One request larger than the whole budget still goes out alone.
            guard
                state.outstanding == 0
                    || (state.outstanding + request.commands.count <= maximum
                        && state.outstandingBytes + request.commands.size <= maximumBytes)
            else {
                throw RedisError(
                    .queueFull, "\(state.outstanding) commands (\(state.outstandingBytes) bytes) wait already")
            }
            state.outstanding += request.commands.count
            state.outstandingBytes += request.commands.size
            state.requests.append(request)
        }
    }

    func take() -> [RedisRequest] {
        state.withLock { state in
            defer { state.requests = [] }
            return state.requests
        }
    }

    /// The request has left the connection: answered, failed or dropped unsent.
    func settle(_ request: RedisRequest) {
        state.withLock { state in
            state.outstanding -= request.commands.count
            state.outstandingBytes -= request.commands.size
        }
    }

    func close() {
        state.withLock { $0.isClosed = true }
    }
}
