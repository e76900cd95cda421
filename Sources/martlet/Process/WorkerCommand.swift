import AMQPClient
import ArgumentParser
import Broker
import Configuration
import Coordination
import Glibc
import HTTPTransport
import IngestStage
import Logging
import ModelStages
import NotifyStage
import Pipeline
import RegisterStage
import StageSupport
import Telemetry
import WorkerRuntime

struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Runs a worker: takes tasks from one pool's queue and does them.",
        discussion: """
            SIGTERM drains it: what runs may end or save itself within the grace period.

              martlet worker --pool train
              martlet worker --pool preprocess --slots 4
              CUDA_VISIBLE_DEVICES=1 martlet worker --pool train --name train-1
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var life: LifeOptions

    @Option(help: "The pool, and so the queue, to take tasks from.")
    var pool: String

    @Option(help: "Tasks at a time.")
    var slots = 1

    @Option(help: "Names the worker across restarts; a new process of that name takes over what the old one held.")
    var name: String?

    func validate() throws {
        guard (1...1_000).contains(slots) else { throw ValidationError("--slots must be from 1 to 1000.") }
        // It names a folder.
        guard name?.contains("/") != true else { throw ValidationError("--name must have no slash.") }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let registry = ProcessSetup.begin(settings)
            let logger = Logger(label: "martlet.worker")
            let id = (name ?? "\(pool)-\(getpid())") + "@" + ProcessSetup.host
            let services = Services(configuration: settings, name: "martlet worker \(id)", logger: logger)
            let coordinator = try services.coordinator()
            let broker = try services.broker()
            let transport = services.transport()
            let storage = try services.storage(transport)
            let state = try AbsolutePath.of(settings.paths.state)
            let work = try HeldFolder(id, in: state + "/work")
            let swept =
                HeldFolder.sweep(state + "/work") + HeldFolder.sweep(state, prefix: "import-")
                + HeldFolder.sweep(state + "/models", prefix: ".fetching-")
            if !swept.isEmpty {
                logger.notice("removed what was left behind", metadata: ["folders": "\(swept.joined(separator: " "))"])
            }
            let configuration = WorkerConfiguration(
                id: id, pool: pool, slots: slots, lease: .seconds(settings.scheduler.lease),
                heartbeat: .seconds(settings.scheduler.heartbeat), grace: .seconds(settings.workerGrace),
                workDirectory: work.path, bucket: settings.s3.bucket, host: ProcessSetup.host)
            let worker = Worker(
                configuration: configuration,
                services: WorkerServices(
                    broker: broker, coordinator: coordinator, storage: storage,
                    handlers: try Handlers.all(services, transport: transport, state: state), logger: logger))
            let health = try await ProcessSetup.serve(
                settings.http, registry: registry,
                checks: [
                    ReadinessCheck("worker") {
                        guard worker.isReady else {
                            throw NotReady(description: worker.isDraining ? "draining" : "starting")
                        }
                    },
                    ReadinessCheck("rabbitmq") { try await broker.checkConnection() },
                    ReadinessCheck("redis") { try await coordinator.ping() },
                ], logger: logger)
            let signals = life.signals { worker.drain() }
            try await Patience.until(.seconds(60), logger: logger, "reaching RabbitMQ") {
                try await broker.client.connect()
            }
            // Unstructured: beside the work, and over long before it.
            let tidying = Task { await StartupPages.release { worker.isReady } }
            defer { tidying.cancel() }
            try await worker.run()
            withExtendedLifetime((signals, work)) {}
            await broker.client.close()
            await health.stop()
            logger.notice("worker stopped")
        }
    }
}

struct NotReady: Error, CustomStringConvertible {
    let description: String
}
