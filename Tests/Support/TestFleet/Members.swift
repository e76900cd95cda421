import AMQPClient
import Broker
import Coordination
import Ledger
import ObjectStorage
import Pipeline
import PostgresClient
import RedisClient
import Scheduler
package import WorkerRuntime

/// A process of the fleet, as far as tests can tell.
protocol FleetMember: Sendable {
    /// Ends it in good order.
    func stop() async
}

/// A scheduler with clients of its own.
package struct SchedulerMember: FleetMember {
    private let postgres: PostgresClient
    private let redis: RedisClient
    private let amqp: AMQPClient
    private let task: Task<Void, any Error>

    init(
        postgres: PostgresClient, redis: RedisClient, amqp: AMQPClient, namespace: String, catalogue: TestCatalogue,
        configuration: SchedulerConfiguration
    ) {
        self.postgres = postgres
        self.redis = redis
        self.amqp = amqp
        let scheduler = Scheduler(
            ledger: Ledger(postgres: postgres, logger: Fleet.quiet),
            coordinator: Coordinator(redis: redis, namespace: namespace, logger: Fleet.quiet),
            broker: Broker(client: amqp, logger: Fleet.quiet), pipelines: catalogue, configuration: configuration,
            logger: Fleet.quiet)
        // Unstructured, because it lives until the test ends it.
        task = Task { try await scheduler.run() }
    }

    package func stop() async {
        task.cancel()
        _ = await task.result
        await amqp.close()
        await redis.close()
        await postgres.close()
    }
}

/// A worker with clients of its own.
package struct WorkerMember: FleetMember {
    package let worker: Worker
    private let amqp: AMQPClient
    private let redis: RedisClient
    private let task: Task<Void, any Error>

    init(
        configuration: WorkerConfiguration, amqp: AMQPClient, redis: RedisClient, namespace: String, storage: S3Client,
        handlers: [any StageHandler]
    ) {
        self.amqp = amqp
        self.redis = redis
        let worker = Worker(
            configuration: configuration,
            services: WorkerServices(
                broker: Broker(client: amqp, logger: Fleet.quiet),
                coordinator: Coordinator(redis: redis, namespace: namespace, logger: Fleet.quiet), storage: storage,
                handlers: handlers, logger: Fleet.quiet))
        self.worker = worker
        // Unstructured, because it lives until the test ends it.
        task = Task { try await worker.run() }
    }

    /// As SIGTERM does.
    package func stop() async {
        worker.drain()
        _ = await task.result
        await amqp.close()
        await redis.close()
    }

    /// As near to SIGKILL as can be had in one process: nothing is said, nothing is settled.
    package func kill() async {
        await redis.close()
        await amqp.close()
        task.cancel()
        _ = await task.result
    }

    /// As SIGSTOP does to what others see: no heartbeat gets through until the worker's handlers are done.
    package func cutRedis() async {
        await redis.close()
    }
}

/// Pipelines given by the test.
struct TestCatalogue: PipelineSource {
    private let entries: [String: PipelineEntry]

    init(_ pipelines: [PipelineSpec]) {
        entries = Dictionary(
            pipelines.enumerated().map { index, spec in
                let digits = String(index + 1, radix: 16)
                let digest = String(repeating: "0", count: 64 - digits.count) + digits
                return (spec.name, PipelineEntry(spec: spec, digest: digest))
            }, uniquingKeysWith: { first, _ in first })
    }

    func pipelines() async throws -> [String: PipelineEntry] { entries }
}
