import LocalStack
import Logging
import PostgresClient
import TestServers

/// A client of a database of its own, closed on both paths.
func withClient<T: Sendable>(
    _ configure: (inout PostgresConfiguration) -> Void = { _ in },
    _ body: (PostgresClient) async throws -> T
) async throws -> T {
    try await withClient(of: try await TestServers.shared.postgres(), configure, body)
}

func withClient<T: Sendable>(
    of url: String, _ configure: (inout PostgresConfiguration) -> Void = { _ in },
    _ body: (PostgresClient) async throws -> T
) async throws -> T {
    var configuration = try PostgresConfiguration(url: url)
    configure(&configuration)
    let client = PostgresClient(configuration: configuration, logger: Logger(label: "test"))
    do {
        let result = try await body(client)
        await client.close()
        return result
    } catch {
        await client.close()
        throw error
    }
}

/// Waits until `condition` holds; the test's time limit bounds it.
func eventually(_ condition: () async throws -> Bool) async throws {
    while try await !condition() { try await Task.sleep(for: .milliseconds(10)) }
}

extension PostgresClient {
    /// Whether a statement with this text runs on the server.
    func isRunning(_ text: String) async throws -> Bool {
        let rows = try await query(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query = $1",
            [.text(text)])
        return try rows[0]["n", as: Int.self] > 0
    }
}
