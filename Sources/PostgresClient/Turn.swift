/// A first-come queue for the one statement a connection can run at a time.
/// A value of its actor: every method runs on the connection's thread.
struct Turn {
    private var isTaken = false
    private var waiters: [(id: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []

    var isFree: Bool { !isTaken }

    mutating func takeIfFree() -> Bool {
        guard !isTaken else { return false }
        isTaken = true
        return true
    }

    mutating func wait(id: UInt64, _ continuation: CheckedContinuation<Void, any Error>) {
        waiters.append((id, continuation))
    }

    mutating func cancel(id: UInt64) {
        guard let index = waiters.firstIndex(where: { $0.id == id }) else { return }
        waiters.remove(at: index).continuation.resume(throwing: CancellationError())
    }

    /// Hands the turn to the next in line.
    mutating func release() {
        if waiters.isEmpty {
            isTaken = false
        } else {
            waiters.removeFirst().continuation.resume()
        }
    }

    mutating func failAll(with error: any Error) {
        waiters.forEach { $0.continuation.resume(throwing: error) }
        waiters = []
    }
}
