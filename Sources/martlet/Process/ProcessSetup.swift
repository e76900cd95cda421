import Configuration
import Glibc
import Logging
import Telemetry

/// What every long-lived process does at its start.
enum ProcessSetup {
    /// Sets up logs and metrics, once; a broken pipe becomes an error of the write that met it.
    static func begin(_ configuration: MartletConfiguration) -> MetricRegistry {
        signal(SIGPIPE, SIG_IGN)
        let format: LogFormat =
            switch configuration.log.format {
            case .auto: .auto
            case .text: .console
            case .json: .json
            }
        Telemetry.bootstrapLogging(format: format, level: configuration.log.level)
        return Telemetry.bootstrapMetrics()
    }

    /// Serves health and metrics.
    static func serve(
        _ address: HTTPAddress, registry: MetricRegistry, checks: [ReadinessCheck], logger: Logger
    ) async throws -> HealthServer {
        let server = try await HealthServer.start(
            HealthServer.Configuration(host: address.host, port: address.port), checks: checks,
            metrics: { registry.exposition() })
        logger.info("health and metrics", metadata: ["address": "\(address.host):\(server.port)"])
        return server
    }

    /// This machine's name.
    static var host: String {
        var name = utsname()
        uname(&name)
        return withUnsafeBytes(of: name.nodename) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
