import AMQPClient
import ArgumentParser
import Broker
import Configuration
import Coordination
import HTTPTransport
import Ledger
import Logging
import NotifyStage
import Pipeline
import Rollouts
import Scheduler
import Telemetry

struct SchedulerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scheduler",
        abstract: "Runs a scheduler: events become runs, ready tasks are sent, results are taken.",
        discussion: """
            Keeps no state of its own: run two or more for availability, and kill any at any moment.

              martlet scheduler
              MARTLET_HTTP=0.0.0.0:9090 martlet scheduler
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var life: LifeOptions

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let registry = ProcessSetup.begin(settings)
            let logger = Logger(label: "martlet.scheduler")
            let services = Services(configuration: settings, name: "martlet scheduler", logger: logger)
            let ledger = try services.ledger(connections: 8)
            let coordinator = try services.coordinator()
            let broker = try services.broker()
            var configuration = SchedulerConfiguration()
            configuration.eventBatch = settings.scheduler.eventBatch
            configuration.resultBatch = settings.scheduler.resultBatch
            configuration.dispatchBatch = settings.scheduler.dispatchBatch
            configuration.windowFactor = max(1, Int(settings.scheduler.windowFactor.rounded(.up)))
            configuration.reconcileInterval = .seconds(settings.scheduler.reconcileInterval)
            configuration.lease = .seconds(settings.scheduler.lease)
            let scheduler = Scheduler(
                ledger: ledger, coordinator: coordinator, broker: broker,
                pipelines: FilePipelines(directory: settings.paths.pipelines, logger: logger),
                configuration: configuration, logger: logger)
            let health = try await ProcessSetup.serve(
                settings.http, registry: registry,
                checks: [
                    ReadinessCheck("scheduler") {
                        guard scheduler.isReady else { throw NotReady(description: "starting") }
                    },
                    ReadinessCheck("rabbitmq") { try await broker.checkConnection() },
                    ReadinessCheck("postgres") { _ = try await ledger.counts() },
                    ReadinessCheck("redis") { try await coordinator.ping() },
                ], logger: logger)
            try await Patience.until(.seconds(60), logger: logger, "reaching the servers") {
                try await ledger.migrate()
                try await broker.client.connect()
            }
            let transport = services.transport()
            let controller = try settings.mlflow.map { _ in
                let mlflow = try services.mlflow(transport)
                let quality = try settings.s3.endpoint.map { _ in
                    let prompts = HeldOutPrompts(ledger: ledger, storage: try services.storage(transport))
                    return QualityWatch(
                        ledger: ledger, mlflow: mlflow,
                        prompts: { try await prompts.examples(of: $0, count: $1) },
                        probe: QualityProbe(
                            coordinator: coordinator, transport: transport,
                            credential: settings.gateway.upstreamKey?.value), logger: logger)
                }
                return RolloutController(ledger: ledger, mlflow: mlflow, quality: quality, logger: logger)
            }
            let totals = try settings.mlflow.map { _ in
                UsageTotals(ledger: ledger, mlflow: try services.mlflow(transport), logger: logger)
            }
            let notifier = RolloutNotifier(
                ledger: ledger, receivers: Receivers.from(settings),
                sender: NotificationSender(
                    transport: transport, addressPolicy: .publicOnly(allowing: settings.notify.allowAddresses)),
                logger: logger)
            // Unstructured: a signal ends it from outside.
            let work = Task {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    if let controller { group.addTask { await controller.run() } }
                    if let totals { group.addTask { await totals.run() } }
                    group.addTask { await notifier.run() }
                    try await scheduler.run()
                    group.cancelAll()
                }
            }
            let signals = life.signals { work.cancel() }
            try await work.value
            withExtendedLifetime(signals) {}
            await broker.client.close()
            await health.stop()
            logger.notice("scheduler stopped")
        }
    }
}
