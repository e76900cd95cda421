import Glibc
package import Logging
import Metrics

/// Sets up logs and metrics, once, at the start of a process.
package enum Telemetry {
    /// Makes every `Logger` write to standard error.
    ///
    /// Trace and span ids of the current `TraceContext` are added to every line. Call once, before the
    /// first logger is made.
    /// - Parameters:
    ///   - format: `auto` by default: readable on a terminal, else JSON lines.
    ///   - level: what is less severe is not even formatted.
    ///   - metadata: on every line of the process, `LogKey.worker` for one.
    package static func bootstrapLogging(
        format: LogFormat = .auto, level: Logger.Level = .info, metadata: Logger.Metadata = [:]
    ) {
        let sink = LogSink(descriptor: STDERR_FILENO)
        let isTerminal = isatty(STDERR_FILENO) == 1
        let encoding: TelemetryLogHandler.Encoding =
            switch format {
            case .json: .json
            case .console: .console(colours: isTerminal)
            case .auto: isTerminal ? .console(colours: true) : .json
            }
        LoggingSystem.bootstrap(
            { label, provider in
                var handler = TelemetryLogHandler(
                    label: label, level: level, encoding: encoding, sink: sink, provider: provider)
                handler.metadata = metadata
                return handler
            }, metadataProvider: TraceContext.metadataProvider)
    }

    /// Makes every counter, gauge, recorder and timer count in one registry.
    /// - Returns: the registry, whose `exposition()` is what `/metrics` serves.
    package static func bootstrapMetrics(
        catalogue: MetricCatalogue = .martlet, seriesLimit: Int = 200
    ) -> MetricRegistry {
        let registry = MetricRegistry(catalogue: catalogue, seriesLimit: seriesLimit)
        MetricsSystem.bootstrap(registry)
        return registry
    }
}
