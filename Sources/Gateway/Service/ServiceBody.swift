import Synchronization

/// The body of a request as it comes. Can be read once; while nobody reads, the client's connection is left unread.
package final class ServiceBody: AsyncSequence, Sendable {
    package typealias Element = [UInt8]

    private struct State {
        var pieces: [[UInt8]] = []
        var first = 0
        var bytes = 0
        var end: Result<Void, any Error>?
        var reader: CheckedContinuation<[UInt8]?, any Error>?
        var isPaused = false
    }

    /// Bytes that wait at most before the connection is left unread.
    private static let bound = 256 << 10

    private let state = Mutex(State())
    /// Asks for more; from any thread.
    private let resume: @Sendable () -> Void

    init(resume: @escaping @Sendable () -> Void) {
        self.resume = resume
    }

    package func makeAsyncIterator() -> Iterator { Iterator(body: self) }

    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let body: ServiceBody

        /// - Throws: when the client goes, or takes too long, before the body's end; `CancellationError`.
        package mutating func next() async throws -> [UInt8]? { try await body.nextPiece() }
    }

    /// - Returns: false when the connection is to be left unread until `resume` is called.
    func feed(_ piece: [UInt8]) -> Bool {
        let (reader, goesOn) = state.withLock { state -> (CheckedContinuation<[UInt8]?, any Error>?, Bool) in
            guard state.end == nil else { return (nil, true) }
            if let reader = state.reader {
                state.reader = nil
                return (reader, true)
            }
            state.pieces.append(piece)
            state.bytes += piece.count
            state.isPaused = state.isPaused || state.bytes > Self.bound
            return (nil, !state.isPaused)
        }
        reader?.resume(returning: piece)
        return goesOn
    }

    func finish(_ end: Result<Void, any Error>) {
        let reader = state.withLock { state -> CheckedContinuation<[UInt8]?, any Error>? in
            guard state.end == nil else { return nil }
            state.end = end
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(with: end.map { nil })
    }

    /// The next bytes; nil at the end.
    package func nextPiece() async throws -> [UInt8]? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (result, asks) = state.withLock { state -> (Result<[UInt8]?, any Error>?, Bool) in
                    if state.first < state.pieces.count {
                        let piece = state.pieces[state.first]
                        state.first += 1
                        state.bytes -= piece.count
                        if state.first == state.pieces.count {
                            state.pieces = []
                            state.first = 0
                        }
                        let asks = state.isPaused && state.bytes <= Self.bound / 2
                        if asks { state.isPaused = false }
                        return (.success(piece), asks)
                    }
                    if let end = state.end { return (end.map { nil }, false) }
                    if Task.isCancelled { return (.failure(CancellationError()), false) }
                    state.reader = continuation
                    return (nil, false)
                }
                if let result { continuation.resume(with: result) }
                if asks { resume() }
            }
        } onCancel: {
            finish(.failure(CancellationError()))
        }
    }
}
