/// Reads something again whenever it may have changed, and from time to time in any case: one reading at a time, and one
/// more for whatever came meanwhile.
enum Rereading {
    /// Until it is cancelled.
    /// - Parameters:
    ///   - interval: between two readings without a change, and before changes that ended with an error are listened for
    ///     again.
    ///   - changes: tells of changes for as long as it is read.
    ///   - failed: told why it could not be listened any longer.
    ///   - read: says itself what becomes of its errors.
    static func run<Change: Sendable>(
        every interval: Duration, changes: @escaping @Sendable () -> AsyncThrowingStream<Change, any Error>,
        failed: @escaping @Sendable (any Error) -> Void, read: @escaping @Sendable () async -> Void
    ) async {
        let (requests, sink) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    do {
                        for try await _ in changes() { sink.yield() }
                    } catch {
                        failed(error)
                    }
                    try? await Task.sleep(for: interval)
                }
            }
            group.addTask {
                while !Task.isCancelled {
                    sink.yield()
                    try? await Task.sleep(for: interval)
                }
            }
            group.addTask { for await _ in requests { await read() } }
        }
    }
}
