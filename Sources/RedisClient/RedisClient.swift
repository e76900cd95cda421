package import Logging
import Synchronization

/// A client of one Redis server.
///
/// All callers share one connection: commands sent at the same time travel in one write, and a command
/// waits for none before it. The connection is made on creation and made again, with jittered backoff,
/// when it dies. A command that finds no connection waits for one up to its timeout; one that was in flight
/// fails with `outcomeUnknown` and is never repeated. Call `close()` before dropping the client.
package final class RedisClient: Sendable {
    package let configuration: RedisConfiguration
    private let logger: Logger
    private let connection: RedisConnection
    private let scripts = ScriptCache()

    package init(configuration: RedisConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        connection = RedisConnection(configuration: configuration, logger: logger, role: .commands)
        // Unstructured: one hop to the connection's thread; requests may be submitted before it is done.
        Task { [connection] in await connection.start() }
    }

    /// Sends one command.
    /// - Parameter timeout: from the call to the reply; nil takes `commandTimeout`.
    /// - Throws: `RedisError`, also for an error reply; `CancellationError`.
    @discardableResult
    package func send(_ arguments: [RedisArgument], timeout: Duration? = nil) async throws -> RedisValue {
        guard let reply = try await exchange([arguments], timeout: timeout).first else {
            throw RedisError(.invalidCommand, "there is nothing to send")
        }
        return try reply.get()
    }

    @discardableResult
    package func send(_ arguments: RedisArgument...) async throws -> RedisValue {
        try await send(arguments)
    }

    /// Sends several commands in one write, in order and with no other command between them.
    ///
    /// A script that the server has forgotten is loaded and run again after the others.
    /// - Returns: the result of each command, in order.
    /// - Throws: when nothing was sent, or the task was cancelled.
    package func pipeline(
        _ commands: [[RedisArgument]], timeout: Duration? = nil
    ) async throws -> [Result<RedisValue, RedisError>] {
        guard !commands.isEmpty else { return [] }
        let used = commands.compactMap(\.script)
        let unknown = scripts.missing(used, generation: generation)
        let loads: [[RedisArgument]] = unknown.map { ["SCRIPT", "LOAD", .string($0.source)] }
        let replies = try await exchange(loads + commands, timeout: timeout)
        for (script, reply) in zip(unknown, replies) where (try? reply.get()) != nil {
            scripts.insert(script, generation: generation)
        }
        var results = Array(replies.dropFirst(loads.count))
        let forgotten = results.indices.filter { results[$0].isNoScript && commands[$0].script != nil }
        guard !forgotten.isEmpty else { return results }
        scripts.removeAll()
        let again = try await exchange(forgotten.map { commands[$0].withScriptSource }, timeout: timeout)
        for (index, reply) in zip(forgotten, again) { results[index] = reply }
        return results
    }

    /// Runs a script by its SHA-1, and by its source when the server does not know it (any more).
    package func run(
        _ script: RedisScript, keys: [String], arguments: [RedisArgument], timeout: Duration? = nil
    ) async throws -> RedisValue {
        let command = script.command(keys: keys, arguments: arguments)
        do {
            return try await send(command, timeout: timeout)
        } catch let error as RedisError where error.code == .noScript {
            // EVAL runs and caches in one step, so no SCRIPT FLUSH can come between the two.
            logger.debug("Redis loads a script", metadata: ["script": "\(script.name)"])
            return try await send(command.withScriptSource, timeout: timeout)
        }
    }

    /// Subscribes on a connection of its own, made again for as long as the stream is read.
    package func subscribe(
        _ channels: [String], patterns: [String] = []
    ) -> AsyncThrowingStream<RedisPubSubMessage, any Error> {
        let (stream, continuation) = Subscriber.Stream.makeStream(
            of: RedisPubSubMessage.self, throwing: (any Error).self,
            bufferingPolicy: .bufferingNewest(Subscriber.bufferSize))
        guard !channels.isEmpty || !patterns.isEmpty else {
            continuation.finish(throwing: RedisError(.invalidCommand, "there is no channel to subscribe to"))
            return stream
        }
        let subscriber = Subscriber(channels: channels, patterns: patterns, continuation: continuation)
        let connection = RedisConnection(configuration: configuration, logger: logger, role: .subscriber(subscriber))
        // The stream keeps its connection alive, and its end closes it.
        continuation.onTermination = { _ in Task { await connection.close() } }
        Task { await connection.start() }
        return stream
    }

    /// Lends a connection of its own, closed when `body` ends.
    package func withDedicatedConnection<T: Sendable>(
        _ body: (RedisDedicatedConnection) async throws -> T
    ) async throws -> T {
        let connection = RedisConnection(configuration: configuration, logger: logger, role: .dedicated)
        await connection.start()
        do {
            let result = try await body(RedisDedicatedConnection(connection: connection))
            await connection.close()
            return result
        } catch {
            await connection.close()
            throw error
        }
    }

    /// - Returns: how long the server took to answer.
    @discardableResult
    package func ping() async throws -> Duration {
        let start = ContinuousClock.now
        try await send(["PING"])
        return start.duration(to: .now)
    }

    /// Fails what waits and ends the connection. Ends no subscription: their readers do.
    package func close() async {
        await connection.close()
    }

    private var generation: UInt64 {
        connection.generation.load(ordering: .acquiring)
    }

    private func exchange(
        _ commands: [[RedisArgument]], timeout: Duration?
    ) async throws -> [Result<RedisValue, RedisError>] {
        try await connection.perform(try EncodedCommands(commands), timeout: timeout ?? configuration.commandTimeout)
    }
}
