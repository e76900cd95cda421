package import AMQPClient
package import Broker
package import Coordination
import HTTPTransport
package import Ledger
import Logging
package import ObjectStorage
package import Pipeline
import PostgresClient
package import RedisClient
package import Scheduler
import Synchronization
package import TestServers
package import WorkerRuntime

/// Real schedulers and real workers in this process, on real servers, with everything of its own: a database, a
/// virtual host, a namespace of Redis keys, a bucket.
package final class Fleet: Sendable {
    package let ledger: Ledger
    package let coordinator: Coordinator
    package let broker: Broker
    package let storage: S3Client
    package let bucket: String
    package let redis: RedisClient
    let postgres: PostgresClient
    let host: VirtualHost
    let namespace: String
    let redisURL: String
    let catalogue: TestCatalogue
    private let postgresURL: String
    private let transport: HTTPTransport
    private let members = Mutex<[any FleetMember]>([])

    static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

    private init(pipelines: [PipelineSpec]) async throws {
        // The first test starts the servers; beside each other they take half the time.
        async let database = TestServers.shared.postgres()
        async let memory = TestServers.shared.redis()
        async let store = TestServers.shared.s3()
        async let virtualHost = VirtualHost.make()
        host = try await virtualHost
        postgresURL = try await database
        redisURL = try await memory
        let s3 = try await store
        namespace = "fleet" + String(UInt64.random(in: 0 ... .max), radix: 36)
        bucket = namespace
        catalogue = TestCatalogue(pipelines)
        transport = HTTPTransport(logger: Self.quiet)
        storage = try S3Client(
            configuration: S3Configuration(
                endpoint: s3.endpoint, region: s3.region,
                credentials: S3Credentials(accessKeyID: s3.accessKey, secretAccessKey: s3.secretKey)),
            transport: transport, logger: Self.quiet)
        var settings = try PostgresConfiguration(url: postgresURL)
        settings.maximumConnections = 4
        settings.sessionSettings = Ledger.sessionSettings
        postgres = PostgresClient(configuration: settings, logger: Self.quiet)
        ledger = Ledger(postgres: postgres, logger: Self.quiet)
        redis = RedisClient(configuration: try RedisConfiguration(url: redisURL), logger: Self.quiet)
        coordinator = Coordinator(redis: redis, namespace: namespace, logger: Self.quiet)
        broker = Broker(client: try host.client("test"), logger: Self.quiet)
        try await ledger.migrate()
        try await storage.createBucket(bucket)
        try await broker.declare()
    }

    package static func with(
        _ pipelines: PipelineSpec..., body: (Fleet) async throws -> Void
    ) async throws {
        let fleet = try await Fleet(pipelines: pipelines)
        do {
            try await body(fleet)
            await fleet.close()
        } catch {
            await fleet.close()
            throw error
        }
    }

    private func close() async {
        for member in members.withLock(\.self).reversed() { await member.stop() }
        await broker.client.close()
        await redis.close()
        await postgres.close()
        do {
            for try await page in storage.list(bucket: bucket) {
                try await storage.delete(bucket: bucket, keys: page.objects.map(\.key))
            }
            try await storage.deleteBucket(bucket)
        } catch {}
        await transport.close()
        await host.remove()
    }

    // MARK: Members

    @discardableResult
    package func startScheduler(
        _ change: (inout SchedulerConfiguration) -> Void = { _ in }
    ) async throws -> SchedulerMember {
        var configuration = SchedulerConfiguration(
            reconcileInterval: .milliseconds(200), dispatchGrace: .seconds(1), lease: .seconds(3))
        change(&configuration)
        var settings = try PostgresConfiguration(url: postgresURL)
        settings.maximumConnections = 6
        settings.sessionSettings = Ledger.sessionSettings
        let member = SchedulerMember(
            postgres: PostgresClient(configuration: settings, logger: Self.quiet),
            redis: RedisClient(configuration: try RedisConfiguration(url: redisURL), logger: Self.quiet),
            amqp: try host.client("scheduler"), namespace: namespace, catalogue: catalogue,
            configuration: configuration)
        members.withLock { $0.append(member) }
        return member
    }

    /// A worker of pool `test` unless told otherwise; returns once it takes tasks.
    @discardableResult
    package func startWorker(
        _ id: String = "w1", pool: String = "test", slots: Int = 1, storage: S3Client? = nil,
        handlers: [any StageHandler],
        change: (inout WorkerConfiguration) -> Void = { _ in }
    ) async throws -> WorkerMember {
        var configuration = WorkerConfiguration(
            id: id, pool: pool, slots: slots, lease: .seconds(3), heartbeat: .seconds(1), grace: .seconds(2),
            workDirectory: "/tmp/martlet-\(namespace)", bucket: bucket, host: "localhost")
        change(&configuration)
        let member = WorkerMember(
            configuration: configuration, amqp: try host.client(id),
            redis: RedisClient(configuration: try RedisConfiguration(url: redisURL), logger: Self.quiet),
            namespace: namespace, storage: storage ?? self.storage, handlers: handlers)
        members.withLock { $0.append(member) }
        try await eventually { member.worker.isReady }
        return member
    }

    // MARK: Events

    /// Publishes an event as a producer does.
    package func publish(
        _ pipeline: String, id: String = String(UInt64.random(in: 0 ... .max), radix: 36),
        parameters: [String: JSONValue]? = nil, priority: Int? = nil
    ) async throws {
        try await broker.publish(
            CloudEvent(
                type: MessageType.dataAvailable, source: "/test", id: id,
                data: DataAvailable(pipeline: pipeline, parameters: parameters, priority: priority)),
            timeout: .seconds(10))
    }

    /// Publishes an event and returns the run that it starts.
    package func run(_ pipeline: String, parameters: [String: JSONValue]? = nil) async throws -> RunID {
        let id = String(UInt64.random(in: 0 ... .max), radix: 36)
        try await publish(pipeline, id: id, parameters: parameters)
        var run: RunID?
        try await eventually {
            run = try await ledger.run(ofEvent: id, source: "/test")
            return run != nil
        }
        guard let run else { throw Unexpected("no run of event \(id)") }
        return run
    }

    /// Publishes bytes to the events exchange as any client can.
    package func publish(raw message: AMQPMessage) async throws {
        try await broker.client.publish(message, to: Topology.events, routingKey: "any", timeout: .seconds(20))
    }

    // MARK: Waiting

    @discardableResult
    package func waitForEnd(of run: RunID) async throws -> RunRecord {
        var record = try await ledger.run(run)
        try await eventually {
            record = try await ledger.run(run)
            return record.state.isTerminal && record.tasks.allSatisfy(\.state.isTerminal)
        }
        return record
    }

    package func waitForTask(
        _ stage: String, of run: RunID, _ condition: (TaskRecord) -> Bool
    ) async throws {
        try await eventually { try await ledger.run(run).tasks.contains { $0.stage == stage && condition($0) } }
    }

    package func state(of stage: String, in run: RunID) async throws -> TaskState? {
        try await ledger.run(run).tasks.first { $0.stage == stage }?.state
    }

    // MARK: Faults

    /// Forgets everything that this fleet has in Redis, as FLUSHALL does on a server of its own.
    package func flushRedis() async throws {
        var cursor = "0"
        repeat {
            let reply = try await redis.send([
                "SCAN", .string(cursor), "MATCH", .string(namespace + ":*"), "COUNT", "1000",
            ])
            cursor = reply.array?.first?.string ?? "0"
            let keys = reply.array?.last?.array?.compactMap(\.string) ?? []
            if !keys.isEmpty { _ = try await redis.send(["DEL"] + keys.map { .string($0) }) }
        } while cursor != "0"
    }

    /// Empties every queue of the fleet.
    package func purgeQueues(pools: [String]) async throws {
        let queues = [Topology.eventsQueue, Topology.resultsQueue, Topology.deadQueue] + pools.map(Topology.taskQueue)
        for queue in queues { _ = try await broker.client.purge(queue: queue) }
    }
}

extension Fleet {
    /// A client of a store that takes connections and never answers, as one that is stopped or cut off does.
    package func silentStorage(_ listener: borrowing SilentListener) throws -> S3Client {
        try S3Client(
            configuration: S3Configuration(
                endpoint: "http://127.0.0.1:\(listener.port)", region: "us-east-1",
                credentials: S3Credentials(accessKeyID: "nobody", secretAccessKey: "nothing")),
            transport: transport, logger: Self.quiet)
    }

    /// Makes a queue of a pool's name with other arguments, as somebody else might.
    package func takeQueue(ofPool pool: String) async throws {
        try await broker.client.declare(AMQPTopology(queues: [.init(Topology.taskQueue(pool: pool))]))
    }

    /// Whether the run's workers are told to stop.
    package func redisHasCancelFlag(of run: RunID) async throws -> Bool {
        try await redis.send(["EXISTS", .string("\(namespace):cancelled:\(run)")]).int == 1
    }

    /// Returns after the next renewal of a task's lease of three seconds, which is renewed every second.
    package func waitForRenewal(of task: TaskID) async throws {
        // Right after a renewal the lease is as long as it gets: only from below can the next one be seen.
        try await eventually { try await redisLease(of: task) < 2_700 }
        try await eventually { try await redisLease(of: task) > 2_700 }
    }

    /// Milliseconds that the lease of a task goes on; 0 for none.
    private func redisLease(of task: TaskID) async throws -> Int {
        max(0, try await redis.send(["PTTL", .string("\(namespace):lease:\(task)")]).int ?? 0)
    }

    /// Publishes bytes into a pool's queue, as no scheduler does.
    package func publishTask(raw body: [UInt8], pool: String, messageID: String? = nil) async throws {
        try await broker.client.publish(
            AMQPMessage(body: body, messageID: messageID), to: Topology.tasks, routingKey: pool, timeout: .seconds(10))
    }
}
