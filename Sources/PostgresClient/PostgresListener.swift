import Logging
import Synchronization

/// Keeps a LISTEN alive on a connection of its own, for as long as its stream is read.
struct PostgresListener: Sendable {
    let channel: String
    let configuration: PostgresConfiguration
    let logger: Logger

    static let bufferSize = 4_096

    func stream() -> AsyncThrowingStream<PostgresNotification, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(
            of: PostgresNotification.self, throwing: (any Error).self,
            bufferingPolicy: .bufferingNewest(Self.bufferSize))
        // Unstructured: the stream's reader, not this call, bounds its life.
        let task = Task { await run(into: continuation) }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    private func run(into continuation: AsyncThrowingStream<PostgresNotification, any Error>.Continuation) async {
        let feed = Feed(continuation: continuation)
        var backoff = Backoff()
        var hasListened = false
        while !Task.isCancelled {
            do {
                let connection = try await listen(feed)
                feed.yield(hasListened ? .reconnected : .listening)
                hasListened = true
                backoff = Backoff()
                await withTaskCancellationHandler {
                    await connection.waitUntilLost()
                } onCancel: {
                    Task { await connection.close() }
                }
                logger.debug("PostgreSQL listener lost its connection", metadata: ["channel": "\(channel)"])
            } catch let error as PostgresError where error.isTransient || hasListened {
                logger.debug("PostgreSQL listener cannot connect", metadata: ["error": "\(error)"])
            } catch {
                return continuation.finish(throwing: error)
            }
            do {
                try await Task.sleep(for: backoff.next())
            } catch {
                break
            }
        }
        continuation.finish()
    }

    private func listen(_ feed: Feed) async throws -> PostgresConnection {
        let connection = try await PostgresConnection.connect(configuration: configuration, logger: logger)
        do {
            await connection.setNotificationHandler { feed.yield(.message($0)) }
            _ = try await connection.query("LISTEN \(channel.quotedIdentifier)")
            return connection
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Yields, and follows messages that fell out of the full buffer with a marker.
    private final class Feed: Sendable {
        private let continuation: AsyncThrowingStream<PostgresNotification, any Error>.Continuation
        private let dropped = Mutex(0)

        init(continuation: AsyncThrowingStream<PostgresNotification, any Error>.Continuation) {
            self.continuation = continuation
        }

        func yield(_ notification: PostgresNotification) {
            guard case .dropped = continuation.yield(notification) else {
                return dropped.withLock { $0 = 0 }
            }
            // The newest are kept, so a marker every half buffer is never lost itself.
            let needsMarker = dropped.withLock { dropped -> Bool in
                defer { dropped += 1 }
                return dropped.isMultiple(of: PostgresListener.bufferSize / 2)
            }
            if needsMarker { continuation.yield(.reconnected) }
        }
    }
}

extension String {
    /// A quoted SQL identifier.
    var quotedIdentifier: String {
        "\"" + split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
