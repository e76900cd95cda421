package import Pipeline
package import RedisClient

extension Coordinator {
    /// A worker process as the registry shows it.
    package struct WorkerRecord: Hashable, Sendable, Codable {
        package var id: String
        package var pool: String
        package var host: String
        package var processID: Int
        package var slots: Int
        package var busy: Int
        /// `starting`, `ready` or `draining`.
        package var state: String
        package var startedAt: Timestamp
        /// What it runs, as `run/stage`.
        package var tasks: [String]

        package init(
            id: String, pool: String, host: String, processID: Int, slots: Int, busy: Int, state: String,
            startedAt: Timestamp, tasks: [String]
        ) {
            self.id = id
            self.pool = pool
            self.host = host
            self.processID = processID
            self.slots = slots
            self.busy = busy
            self.state = state
            self.startedAt = startedAt
            self.tasks = tasks
        }
    }

    /// A worker's sign of life.
    /// - Parameter lifetime: for how long it counts as alive without another.
    package func register(_ worker: WorkerRecord, now: Timestamp, lifetime: Duration) async throws {
        let fields: [(String, String)] = [
            ("pool", worker.pool), ("host", worker.host), ("pid", String(worker.processID)),
            ("slots", String(worker.slots)), ("busy", String(worker.busy)), ("state", worker.state),
            ("started", String(worker.startedAt.microseconds)), ("tasks", worker.tasks.joined(separator: " ")),
        ]
        _ = try await redis.run(
            Scripts.worker, keys: [keys.worker(worker.id), keys.workers],
            arguments: [
                .string(worker.id), .integer(now.microseconds / 1_000), .integer(lifetime.milliseconds),
            ] + fields.flatMap { [.string($0.0), .string($0.1)] })
    }

    package func unregister(worker id: String) async throws {
        _ = try await redis.pipeline([
            ["DEL", .string(keys.worker(id))], ["ZREM", .string(keys.workers), .string(id)],
        ])
    }

    /// The workers that have given a sign of life lately, by pool and id.
    package func workers() async throws -> [WorkerRecord] {
        let ids =
            (try await redis.send(["ZRANGE", .string(keys.workers), "0", "-1"])).array?.compactMap(\.string) ?? []
        guard !ids.isEmpty else { return [] }
        let replies = try await redis.pipeline(ids.map { ["HGETALL", .string(keys.worker($0))] })
        var workers: [WorkerRecord] = []
        for (id, reply) in zip(ids, replies) {
            let flat = try reply.get().array?.compactMap(\.string) ?? []
            var fields: [String: String] = [:]
            for index in stride(from: 0, to: flat.count - 1, by: 2) { fields[flat[index]] = flat[index + 1] }
            guard let pool = fields["pool"] else { continue }
            workers.append(
                WorkerRecord(
                    id: id, pool: pool, host: fields["host"] ?? "", processID: Int(fields["pid"] ?? "") ?? 0,
                    slots: Int(fields["slots"] ?? "") ?? 0, busy: Int(fields["busy"] ?? "") ?? 0,
                    state: fields["state"] ?? "",
                    startedAt: Timestamp(microseconds: Int64(fields["started"] ?? "") ?? 0),
                    tasks: (fields["tasks"] ?? "").split(separator: " ").map(String.init)))
        }
        return workers.sorted { ($0.pool, $0.id) < ($1.pool, $1.id) }
    }

    // MARK: Pool sizes

    package func setDesired(pool: String, workers: Int) async throws {
        _ = try await redis.pipeline([
            ["HSET", .string(keys.pools), .string(pool), .integer(workers)],
            ["PUBLISH", .string(keys.poolChanges), .string(pool)],
        ]).map { try $0.get() }
    }

    package func desiredPools() async throws -> [String: Int] {
        let flat = (try await redis.send(["HGETALL", .string(keys.pools)])).array?.compactMap(\.string) ?? []
        var pools: [String: Int] = [:]
        for index in stride(from: 0, to: flat.count - 1, by: 2) { pools[flat[index]] = Int(flat[index + 1]) }
        return pools
    }

    /// Tells of every change of a pool's wanted size; also after a reconnection, when some may have been missed.
    package func poolChanges() -> AsyncThrowingStream<RedisPubSubMessage, any Error> {
        redis.subscribe([keys.poolChanges], patterns: [])
    }

    /// Tells that leases were dropped.
    package func wakeUps() -> AsyncThrowingStream<RedisPubSubMessage, any Error> {
        redis.subscribe([keys.wake], patterns: [])
    }
}
