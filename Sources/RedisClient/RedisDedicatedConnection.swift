/// A connection lent to one scope, for blocking commands (BLPOP, XREAD BLOCK) and WATCH.
package struct RedisDedicatedConnection: Sendable {
    let connection: RedisConnection

    /// - Parameter timeout: from the call to the reply; zero for none. When it passes, the connection ends.
    package func send(_ arguments: [RedisArgument], timeout: Duration) async throws -> RedisValue {
        let replies = try await connection.perform(try EncodedCommands([arguments]), timeout: timeout)
        guard let reply = replies.first else { throw RedisError(.invalidCommand, "there is nothing to send") }
        return try reply.get()
    }
}
