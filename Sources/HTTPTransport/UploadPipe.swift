import Synchronization

/// A bounded pipe from the task that produces a request body to the transport's thread.
final class UploadPipe: Sendable {
    /// What a read found.
    enum Reading {
        case bytes(Int)
        case end
        /// Nothing yet: `resume` is called with the next chunk.
        case empty
        case failed(any Error)
    }

    private struct State {
        var chunks: [[UInt8]] = []
        /// Bytes of the first chunk that are read already.
        var offset = 0
        var buffered = 0
        var end: Result<Void, any Error>?
        var isReaderWaiting = false
        var writer: CheckedContinuation<Bool, Never>?
        var isClosed = false
    }

    private let state = Mutex(State())
    private let limit: Int
    private let resume: @Sendable () -> Void

    /// - Parameters:
    ///   - limit: bytes that wait before the producer has to.
    ///   - resume: called, outside the lock, when a reader that found nothing can read again.
    init(limit: Int, resume: @escaping @Sendable () -> Void) {
        // With no room at all nothing would ever move.
        self.limit = max(limit, 16 << 10)
        self.resume = resume
    }

    /// Sends all of the source; ends early, without an error, when the transfer is over.
    func pump(_ source: any AsyncSequence<[UInt8], any Error> & Sendable) async {
        await withTaskCancellationHandler {
            do {
                try await feed(source)
                finish(.success(()))
            } catch {
                finish(.failure(error))
            }
        } onCancel: {
            close()
        }
    }

    private func feed<Source: AsyncSequence<[UInt8], any Error>>(_ source: Source) async throws {
        for try await chunk in source where !chunk.isEmpty {
            guard await push(chunk) else { return }
        }
    }

    /// - Returns: false when nobody reads any more.
    private func push(_ chunk: [UInt8]) async -> Bool {
        var wakes = false
        let isOpen = state.withLock { state in
            guard !state.isClosed else { return false }
            state.chunks.append(chunk)
            state.buffered += chunk.count
            wakes = state.isReaderWaiting
            state.isReaderWaiting = false
            return true
        }
        if wakes { resume() }
        guard isOpen else { return false }
        return await withCheckedContinuation { continuation in
            let ready = state.withLock { state -> Bool? in
                if state.isClosed { return false }
                if state.buffered < limit { return true }
                state.writer = continuation
                return nil
            }
            if let ready { continuation.resume(returning: ready) }
        }
    }

    private func finish(_ result: Result<Void, any Error>) {
        let wakes = state.withLock { state in
            if state.end == nil { state.end = result }
            defer { state.isReaderWaiting = false }
            return state.isReaderWaiting
        }
        if wakes { resume() }
    }

    // MARK: The transport's side

    func read(into target: UnsafeMutableRawBufferPointer) -> Reading {
        let (reading, writer) = state.withLock { state -> (Reading, CheckedContinuation<Bool, Never>?) in
            guard state.buffered > 0 else {
                switch state.end {
                case .success: return (.end, nil)
                case .failure(let error): return (.failed(error), nil)
                case nil:
                    state.isReaderWaiting = true
                    return (.empty, nil)
                }
            }
            let count = Self.copy(&state, into: target)
            guard state.buffered < limit else { return (.bytes(count), nil) }
            defer { state.writer = nil }
            return (.bytes(count), state.writer)
        }
        writer?.resume(returning: true)
        return reading
    }

    private static func copy(_ state: inout State, into target: UnsafeMutableRawBufferPointer) -> Int {
        var filled = 0
        var used = 0
        for chunk in state.chunks {
            let count = min(chunk.count - state.offset, target.count - filled)
            chunk.withUnsafeBytes { source in
                let piece = UnsafeRawBufferPointer(rebasing: source[state.offset..<(state.offset + count)])
                UnsafeMutableRawBufferPointer(rebasing: target[filled..<(filled + count)]).copyMemory(from: piece)
            }
            filled += count
            state.offset += count
            guard state.offset == chunk.count else { break }
            state.offset = 0
            used += 1
        }
        state.chunks.removeFirst(used)
        state.buffered -= filled
        return filled
    }

    /// The transfer is over: a producer that waits, or comes back, is told so.
    func close() {
        let writer = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            state.isClosed = true
            state.chunks = []
            state.buffered = 0
            defer { state.writer = nil }
            return state.writer
        }
        writer?.resume(returning: false)
    }
}
