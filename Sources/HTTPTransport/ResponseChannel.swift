import Synchronization

/// What one transfer tells its caller: the head, then body chunks, then the end. The only meeting point of the
/// transport's thread (which feeds it) and the task that reads it.
final class ResponseChannel: Sendable {
    private struct State {
        var head: ResponseHead?
        var headWaiter: CheckedContinuation<ResponseHead, any Error>?
        var buffer: [UInt8] = []
        var chunkWaiter: CheckedContinuation<[UInt8]?, any Error>?
        /// The transfer stopped because the buffer was full and waits for a `resumeReceiving`.
        var isPaused = false
        var end: Result<Void, any Error>?
        var isWrittenToFile = false
        var bytesWritten: Int64 = 0
    }

    /// What the reader has to do after taking bytes.
    struct Taken {
        var wasPaused: Bool
    }

    private let state = Mutex(State())
    private let limit: Int

    /// - Parameter limit: bytes that may wait for the reader; a write may overshoot it once.
    init(limit: Int) {
        // With no room at all nothing would ever move.
        self.limit = max(limit, 16 << 10)
    }

    // MARK: The transport's side

    func deliver(_ head: ResponseHead, isWrittenToFile: Bool) {
        state.withLock { state -> CheckedContinuation<ResponseHead, any Error>? in
            state.head = head
            state.isWrittenToFile = isWrittenToFile
            defer { state.headWaiter = nil }
            return state.headWaiter
        }?.resume(returning: head)
    }

    /// Keeps the bytes, or says no and remembers that the transfer is paused.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        state.withLock { state in
            guard state.buffer.count < limit else {
                state.isPaused = true
                return false
            }
            state.buffer.append(contentsOf: bytes)
            return true
        }
    }

    func countWritten(_ bytes: Int64) {
        state.withLock { $0.bytesWritten = bytes }
    }

    /// Hands what has gathered to a waiting reader: once per round of the loop, not once per 16 KiB write.
    /// - Returns: whether a paused transfer may go on.
    func flush() -> Bool {
        let (waiter, chunk, wasPaused) = state.withLock {
            state -> (CheckedContinuation<[UInt8]?, any Error>?, [UInt8], Bool) in
            guard let waiter = state.chunkWaiter, !state.buffer.isEmpty else { return (nil, [], false) }
            state.chunkWaiter = nil
            let (chunk, taken) = Self.take(&state)
            return (waiter, chunk, taken.wasPaused)
        }
        waiter?.resume(returning: chunk)
        return wasPaused
    }

    /// The first end counts.
    func finish(_ result: Result<Void, any Error>) {
        let (headWaiter, chunkWaiter, chunk) = state.withLock {
            state -> (
                CheckedContinuation<ResponseHead, any Error>?, CheckedContinuation<[UInt8]?, any Error>?, [UInt8]
            ) in
            guard state.end == nil else { return (nil, nil, []) }
            state.end = result
            defer {
                state.headWaiter = nil
                state.chunkWaiter = nil
            }
            // Bytes before an error are still handed out, so that a reader sees how far the body came.
            let chunk = state.chunkWaiter == nil ? [] : Self.take(&state).0
            return (state.headWaiter, state.chunkWaiter, chunk)
        }
        if let headWaiter {
            switch result {
            case .success: headWaiter.resume(throwing: Self.noHead)
            case .failure(let error): headWaiter.resume(throwing: error)
            }
        }
        guard let chunkWaiter else { return }
        if !chunk.isEmpty {
            chunkWaiter.resume(returning: chunk)
        } else {
            chunkWaiter.resume(with: result.map { nil })
        }
    }

    // MARK: The caller's side

    var isEnded: Bool {
        state.withLock { $0.end != nil }
    }

    var isWrittenToFile: Bool {
        state.withLock { $0.isWrittenToFile }
    }

    var bytesWritten: Int64 {
        state.withLock { $0.bytesWritten }
    }

    /// Call once, with a cancellation handler that sees to it that `finish` is called.
    func head() async throws -> ResponseHead {
        try await withCheckedThrowingContinuation { continuation in
            let ready = state.withLock { state -> Result<ResponseHead, any Error>? in
                if let head = state.head { return .success(head) }
                if let end = state.end { return end.flatMap { .failure(Self.noHead) } }
                state.headWaiter = continuation
                return nil
            }
            if let ready { continuation.resume(with: ready) }
        }
    }

    /// The next chunk, `nil` at the end.
    /// - Parameter resume: called when the transfer was paused for the bytes now taken.
    func next(resume: () -> Void) async throws -> [UInt8]? {
        try await withCheckedThrowingContinuation { continuation in
            var wasPaused = false
            let ready = state.withLock { state -> Result<[UInt8]?, any Error>? in
                if !state.buffer.isEmpty {
                    let (chunk, taken) = Self.take(&state)
                    wasPaused = taken.wasPaused
                    return .success(chunk)
                }
                if let end = state.end { return end.map { nil } }
                guard state.chunkWaiter == nil else { return .failure(Self.secondReader) }
                state.chunkWaiter = continuation
                return nil
            }
            if wasPaused { resume() }
            if let ready { continuation.resume(with: ready) }
        }
    }

    private static func take(_ state: inout State) -> ([UInt8], Taken) {
        var chunk: [UInt8] = []
        swap(&chunk, &state.buffer)
        defer { state.isPaused = false }
        return (chunk, Taken(wasPaused: state.isPaused))
    }

    private static let noHead = HTTPError(
        code: .protocolViolation, message: "the transfer ended without an answer", isRetryable: true)
    private static let secondReader = HTTPError(
        code: .invalidRequest, message: "a response body has one reader; two tasks asked for its next chunk at once")
}

/// The head as it came from the wire.
struct ResponseHead: Sendable {
    var status: Int
    var headers: HTTPHeaders
}
