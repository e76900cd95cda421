import FoundationEssentials
package import Pipeline
package import RedisClient

extension Coordinator {
    /// How many of an attempt's last log lines are kept for those who follow it live; all of them are in the
    /// object store when the attempt ends.
    static let keptLogLines = 2_000

    /// How far the tasks of a run are, where they said so.
    package func progress(of tasks: [TaskID]) async throws -> [TaskID: JSONValue] {
        guard !tasks.isEmpty else { return [:] }
        let reply = try await redis.send(["MGET"] + tasks.map { .string(keys.progress($0)) })
        var progress: [TaskID: JSONValue] = [:]
        for (task, value) in zip(tasks, reply.array ?? []) {
            guard let text = value.string else { continue }
            progress[task] = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        }
        return progress
    }

    /// Says that something about a run changed, for those who watch it.
    package func announce(_ runs: some Sequence<RunID>) async throws {
        let commands: [[RedisArgument]] = runs.map { ["PUBLISH", .string(keys.live($0)), "changed"] }
        guard !commands.isEmpty else { return }
        for reply in try await redis.pipeline(commands) { _ = try reply.get() }
    }

    /// Tells of every change of a run; also after a reconnection, when some may have been missed.
    package func changes(of run: RunID) -> AsyncThrowingStream<RedisPubSubMessage, any Error> {
        redis.subscribe([keys.live(run)], patterns: [])
    }

    /// Appends lines to the live log of an attempt.
    package func appendLog(_ task: TaskID, attempt: Int, lines: [String]) async throws {
        guard !lines.isEmpty else { return }
        let key = keys.log(task, attempt: attempt)
        var commands: [[RedisArgument]] = lines.map { line in
            ["XADD", .string(key), "MAXLEN", "~", .integer(Self.keptLogLines), "*", "line", .string(line)]
        }
        commands.append(["PEXPIRE", .string(key), .integer(Self.taskLifetimeMilliseconds)])
        for reply in try await redis.pipeline(commands) { _ = try reply.get() }
    }

    /// Lines of the live log after `cursor`, with the cursor for the next call.
    /// - Parameter cursor: `0` for the beginning.
    package func readLog(
        _ task: TaskID, attempt: Int, after cursor: String, limit: Int
    ) async throws -> (lines: [String], cursor: String) {
        let reply = try await redis.send([
            "XREAD", "COUNT", .integer(limit), "STREAMS", .string(keys.log(task, attempt: attempt)), .string(cursor),
        ])
        var lines: [String] = []
        var cursor = cursor
        for entry in reply.array?.first?.array?.last?.array ?? [] {
            guard let fields = entry.array, fields.count == 2, let id = fields[0].string else { continue }
            cursor = id
            if let line = fields[1].array?.last?.string { lines.append(line) }
        }
        return (lines, cursor)
    }
}
