import Logging
import RedisClient
import TestServers

/// A client of the shared server, closed on both paths.
func withClient<T: Sendable>(
    of url: String? = nil, _ configure: (inout RedisConfiguration) -> Void = { _ in },
    _ body: (RedisClient) async throws -> T
) async throws -> T {
    let address: String
    if let url { address = url } else { address = try await TestServers.shared.redis() }
    var configuration = try RedisConfiguration(url: address)
    configure(&configuration)
    let client = RedisClient(configuration: configuration, logger: Logger(label: "test"))
    do {
        let result = try await body(client)
        await client.close()
        return result
    } catch {
        await client.close()
        throw error
    }
}

func uniqueKey(_ name: String) -> String {
    "test:\(name):\(UInt64.random(in: 0 ... .max))"
}

/// Waits until `condition` holds; the test's time limit bounds it.
func eventually(_ condition: () async throws -> Bool) async throws {
    while try await !condition() { try await Task.sleep(for: .milliseconds(10)) }
}
