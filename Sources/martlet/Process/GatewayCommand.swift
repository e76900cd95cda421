import ArgumentParser
import Batches
import Configuration
import Coordination
import Gateway
import Glibc
import Ledger
import Logging
import Telemetry

struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Runs a gateway: applications ask it as if it were OpenAI's API, and model servers answer.",
        discussion: """
            Run two or more behind one address for availability. SIGTERM lets what runs end within the grace period.

              martlet gateway
              MARTLET_GATEWAY_ADDRESS=0.0.0.0:8000 martlet gateway
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var life: LifeOptions

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let registry = ProcessSetup.begin(settings)
            let logger = Logger(label: "martlet.gateway")
            var configuration = GatewayConfiguration(
                host: settings.gateway.address.host, port: settings.gateway.address.port,
                threads: settings.gateway.threads)
            configuration.limits.body = settings.gateway.maximumBody
            configuration.limits.answerCache = settings.gateway.answerCache << 20
            if settings.gateway.hedgeAfter > 0 { configuration.timeouts.hedge = .seconds(settings.gateway.hedgeAfter) }
            configuration.coalescing = CoalescingMode(settings.gateway.coalescing)
            configuration.requiresKeys = settings.gateway.keys == .required
            let files = OpenFiles.raise()
            // A client's own, and one to a replica; a batch's request has three, and what is open besides is little.
            let left = (files - 256 - 3 * settings.gateway.batchRequests) / 2
            let connections = max(configuration.threads, min(configuration.limits.connections, left))
            if connections < configuration.limits.connections {
                logger.notice(
                    "the limit of open files bounds the clients' connections; raise it with ulimit -n",
                    metadata: ["files": "\(files)", "connections": "\(connections)"])
                configuration.limits.connections = connections
            }
            let services = Services(configuration: settings, name: "martlet gateway", logger: logger)
            let ledger = try services.ledger(connections: 3)
            let coordinator = try services.coordinator()
            let state = try AbsolutePath.of(settings.paths.state)
            let gateway = try await Gateway.start(
                configuration, prices: PriceTable(settings.gateway.prices), journalFolder: state + "/gateway/usage",
                logger: logger)
            let credential = settings.gateway.upstreamKey?.value
            let fixed = settings.gateway.replicas.map { replica in
                var made = ReplicaConfiguration(
                    model: replica.model, version: replica.version, aliases: replica.aliases, host: replica.host,
                    port: replica.port, servedName: replica.servedName, maximumInFlight: replica.maximumInFlight,
                    credential: credential)
                made.isName = replica.isName
                return made
            }
            gateway.route(fixed.filter { !$0.isName })
            let health = try await ProcessSetup.serve(
                settings.http, registry: registry,
                checks: [
                    ReadinessCheck("gateway") {
                        if let reason = gateway.notReady { throw NotReady(description: reason) }
                    }
                ], logger: logger)
            logger.notice("gateway listens", metadata: ["port": "\(gateway.port)"])
            let name = "\(getpid())@\(ProcessSetup.host)"
            // Both unstructured: beside the requests, until a signal.
            let following = Task {
                await gateway.follow(
                    ledger: ledger, coordinator: coordinator, transport: services.transport(), name: name,
                    fixed: fixed, credential: credential)
            }
            let batching = try batches(settings, services, gateway, ledger, name, logger)
            let tidying = Task { await StartupPages.release { gateway.notReady == nil } }
            defer { tidying.cancel() }
            let (ended, stop) = AsyncStream.makeStream(of: Void.self)
            let signals = life.signals { stop.finish() }
            for await _ in ended {}
            withExtendedLifetime(signals) {}
            logger.notice("gateway draining")
            // What is in hand of batches is given back: the others go on with it at once.
            batching?.cancel()
            await batching?.value
            await gateway.drain(within: .seconds(settings.gateway.grace))
            following.cancel()
            await following.value
            await gateway.stop()
            do {
                try await gateway.settle(ledger: ledger)
            } catch {
                logger.warning(
                    "the ledger does not take the usage now; the next gateway with this state folder brings it there",
                    metadata: ["error": "\(error)"])
            }
            await health.stop()
            logger.notice("gateway stopped")
        }
    }

    /// Has files and batches answered, and works on batches, where there is an object store.
    private func batches(
        _ settings: MartletConfiguration, _ services: Services, _ gateway: Gateway, _ ledger: Ledger, _ name: String,
        _ logger: Logger
    ) throws -> Task<Void, Never>? {
        guard settings.s3.endpoint != nil else { return nil }
        let transport = services.transport()
        let store = BatchStore(client: try services.storage(transport), bucket: settings.s3.bucket)
        gateway.serve(BatchService(ledger: ledger, store: store))
        guard settings.gateway.batchRequests > 0 else { return nil }
        var configuration = BatchConfiguration()
        configuration.requests = settings.gateway.batchRequests
        configuration.lineBytes = settings.gateway.maximumBody + 4_096
        let runner = BatchRunner(
            ledger: ledger, store: store, transport: transport,
            door: BatchDoor(url: gateway.url) { gateway.batchAuthorization(key: $0) },
            prices: PriceTable(settings.gateway.prices), configuration: configuration, name: name, logger: logger)
        // Unstructured: beside the requests, until the process ends.
        return Task { await runner.run() }
    }
}

extension CoalescingMode {
    init(_ setting: MartletConfiguration.Gateway.Coalescing) {
        switch setting {
        case .off: self = .off
        case .on: self = .on
        case .auto: self = .auto
        }
    }
}

extension PriceTable {
    /// From what an hour of a machine costs, and how many tokens it does in it.
    init(_ prices: [MartletConfiguration.Gateway.Price]) {
        func price(_ price: MartletConfiguration.Gateway.Price) -> Price {
            func millionths(_ rate: Double) -> Int64 {
                // Per million tokens: an hour's price over the millions of tokens of that hour.
                Int64((price.hour * 1_000_000 / (rate * 3_600 / 1_000_000)).rounded(.up))
            }
            return Price(
                prompt: millionths(price.promptRate), cached: millionths(price.cachedRate),
                completion: millionths(price.completionRate))
        }
        self.init(
            byModel: Dictionary(
                prices.filter { $0.model != "*" }.map { ($0.model, price($0)) }, uniquingKeysWith: { first, _ in first }
            ),
            fallback: prices.first { $0.model == "*" }.map(price) ?? Price(prompt: 0, cached: 0, completion: 0))
    }
}
