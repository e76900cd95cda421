import ArgumentParser
import Configuration
import Gateway
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
            configuration.requiresKeys = settings.gateway.keys == .required
            let gateway = try await Gateway.start(configuration, logger: logger)
            gateway.route(
                settings.gateway.replicas.map { replica in
                    ReplicaConfiguration(
                        model: replica.model, version: replica.version, aliases: replica.aliases, host: replica.host,
                        port: replica.port, servedName: replica.servedName, maximumInFlight: replica.maximumInFlight,
                        credential: settings.gateway.upstreamKey?.value)
                })
            let health = try await ProcessSetup.serve(settings.http, registry: registry, checks: [], logger: logger)
            logger.notice("gateway ready", metadata: ["port": "\(gateway.port)"])
            let (ended, stop) = AsyncStream.makeStream(of: Void.self)
            let signals = life.signals { stop.finish() }
            for await _ in ended {}
            withExtendedLifetime(signals) {}
            await gateway.stop()
            await health.stop()
            logger.notice("gateway stopped")
        }
    }
}
