package import Logging

/// A pool of connections to one PostgreSQL database.
///
/// Connects on first use, keeps idle connections, replaces those that died. A server that restarts is
/// waited for within `acquireTimeout`. Call `close()` before dropping the client.
package final class PostgresClient: Sendable {
    package let configuration: PostgresConfiguration
    private let pool: ConnectionPool
    private let logger: Logger

    package init(configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        pool = ConnectionPool(configuration: configuration, logger: logger)
    }

    /// Runs one statement with bound parameters, outside any transaction.
    /// - Parameter timeout: for the statement; nil takes the configuration's, zero means none.
    /// - Throws: `PostgresError`, or `CancellationError` once the statement has stopped on the server.
    @discardableResult
    package func query(
        _ sql: String, _ parameters: [PostgresValue] = [], timeout: Duration? = nil
    ) async throws -> PostgresRows {
        try await retryingUnsent {
            try await self.withConnection { try await $0.query(sql, parameters, timeout: timeout) }
        }
    }

    /// Runs several statements in one round trip and one implicit transaction.
    package func pipeline(
        _ batch: [(String, [PostgresValue])], timeout: Duration? = nil
    ) async throws -> [PostgresRows] {
        try await withConnection { try await $0.pipeline(batch, timeout: timeout) }
    }

    /// Runs a text of several statements without parameters. For migrations, never for values.
    package func execute(script: String, timeout: Duration? = nil) async throws {
        try await withConnection { try await $0.execute(script: script, timeout: timeout) }
    }

    /// Lends a connection to `body`, alone. Do not keep it after `body` has returned.
    package func withConnection<T: Sendable>(_ body: (PostgresConnection) async throws -> T) async throws -> T {
        let connection = try await pool.acquire()
        defer { pool.release(connection) }
        return try await body(connection)
    }

    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws or its task
    /// is cancelled.
    /// - Parameters:
    ///   - retries: how often the whole body runs again after an error that `isRetryable`
    ///     (serialization failure, deadlock, connection lost before COMMIT).
    package func withTransaction<T: Sendable>(
        isolation: PostgresIsolation = .readCommitted, retries: Int = 0,
        _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        var backoff = Backoff()
        var left = retries
        while true {
            do {
                return try await withConnection { try await $0.withTransaction(isolation: isolation, body) }
            } catch let error as PostgresError where error.isRetryable && left > 0 {
                left -= 1
                logger.debug("PostgreSQL transaction runs again", metadata: ["error": "\(error)"])
                try await Task.sleep(for: backoff.next())
            }
        }
    }

    /// As the connection's: a transaction in two round trips.
    package func withTransaction<T: Sendable>(
        reading first: [(String, [PostgresValue])],
        _ body: (PostgresConnection, [PostgresRows]) async throws -> (result: T, writing: [(String, [PostgresValue])])
    ) async throws -> T {
        try await withConnection { try await $0.withTransaction(reading: first, body) }
    }

    /// Listens on a connection of its own, connecting again for as long as the stream is read.
    package func listen(_ channel: String) -> AsyncThrowingStream<PostgresNotification, any Error> {
        PostgresListener(channel: channel, configuration: configuration, logger: logger).stream()
    }

    /// - Parameter payload: fewer than 8000 bytes.
    package func notify(_ channel: String, _ payload: String = "") async throws {
        try await query("SELECT pg_notify($1, $2)", [.text(channel), .text(payload)])
    }

    /// Refuses new calls, waits up to 10 s for running ones, then ends every connection.
    package func close() async {
        await pool.close()
    }

    /// Again on another connection, when an idle one turned out dead before anything was sent on it.
    private func retryingUnsent<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        for _ in 0..<configuration.maximumConnections {
            do {
                return try await body()
            } catch let error as PostgresError where error.code == .connectionLost {
                logger.debug("PostgreSQL connection was dead; trying another", metadata: ["error": "\(error)"])
            }
        }
        return try await body()
    }
}
