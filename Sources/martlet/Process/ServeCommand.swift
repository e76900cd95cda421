import ArgumentParser
import Configuration
import Foundation
import Logging
import ModelServer
import Telemetry

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Runs a model server: the versions that aliases mean, each in an engine (vLLM) of its own.",
        discussion: """
            Follows the registry: when an alias moves, the new version is fetched, its digests checked, started and warmed
            up before the gateways hear of it, and the old one ends when its last request is answered. While the registry
            is away, what was served last is served.

            serving.command names another engine: a program and its arguments, in which {model} stands for the folder of
            the weights, {name} for the name to serve them under, {host} and {port} for where to listen. It must answer
            /health and /v1/completions, and /metrics as vLLM does, or it is ended only some time after it was replaced.

              martlet serve security-qa
              martlet serve security-qa --alias champion --alias challenger
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var life: LifeOptions

    @Argument(help: "The registered model.")
    var model: String

    @Option(help: "An alias whose version is served; may be given more than once. champion without it.")
    var alias: [String] = []

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let registry = ProcessSetup.begin(settings)
            let logger = Logger(label: "martlet.serve")
            let services = Services(configuration: settings, name: "martlet serve", logger: logger)
            let transport = services.transport()
            let state = try AbsolutePath.of(settings.paths.state)
            var configuration = ServingConfiguration(
                model: model, aliases: alias.isEmpty ? ["champion"] : alias, host: settings.serving.host,
                command: try Self.command(settings), environment: Self.environment(settings),
                maximumInFlight: settings.serving.maximumInFlight, state: "\(state)/serving/\(model)")
            configuration.coresPerEngine = settings.serving.engineCores
            configuration.cache = Int64(settings.serving.cacheGiB) << 30
            configuration.credential = settings.gateway.upstreamKey?.value
            let server = try ModelServer(
                configuration: configuration, mlflow: try services.mlflow(transport, isAskedAgain: true),
                storage: try services.storage(transport), coordinator: try services.coordinator(), transport: transport,
                logger: logger)
            let health = try await ProcessSetup.serve(
                settings.http, registry: registry,
                checks: [
                    ReadinessCheck("models") {
                        if let reason = await server.notReady { throw NotReady(description: reason) }
                    }
                ], logger: logger)
            // Unstructured: a signal ends it from outside.
            let work = Task { await server.run() }
            let signals = life.signals { work.cancel() }
            await work.value
            withExtendedLifetime(signals) {}
            await health.stop()
            logger.notice("model server stopped")
        }
    }

    private static func command(_ settings: MartletConfiguration) throws -> [String] {
        guard settings.serving.command.isEmpty else { return settings.serving.command }
        return [
            try PythonEnvironments.serving(settings), "-m", "vllm.entrypoints.openai.api_server", "--model", "{model}",
            "--served-model-name", "{name}", "--host", "{host}", "--port", "{port}", "--dtype", "bfloat16",
            // The gateway has its own account of every request; here it would be a file that only grows.
            "--disable-uvicorn-access-log",
        ] + settings.serving.arguments
    }

    /// What an engine sees of this process's environment: what the machine needs, and no secret.
    private static func environment(_ settings: MartletConfiguration) -> [String: String] {
        let own = ProcessInfo.processInfo.environment
        var environment: [String: String] = [:]
        for (name, value) in own
        where ["PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "XDG_CACHE_HOME"].contains(name)
            || name.hasPrefix("CUDA_") || name.hasPrefix("NVIDIA_") || name.hasPrefix("VLLM_") || name.hasPrefix("OMP_")
        {
            environment[name] = value
        }
        // Models come from the registry and from nowhere else; nothing is told to anybody.
        for (name, value) in [
            "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
            "VLLM_CPU_KVCACHE_SPACE": String(settings.serving.cacheGiB), "TOKENIZERS_PARALLELISM": "false",
            // Threads that spin take the time of those that work, where engines share a few cores.
            "GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": "PASSIVE",
        ] where environment[name] == nil {
            environment[name] = value
        }
        // In its arguments everybody could read it.
        if let key = settings.gateway.upstreamKey { environment["VLLM_API_KEY"] = key.value }
        return environment
    }
}
