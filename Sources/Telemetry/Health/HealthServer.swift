import NIOCore
import NIOHTTP1
import NIOPosix

/// A process's `/healthz`, `/readyz` and `/metrics` over HTTP/1.1, on one thread.
///
/// `/healthz` says that the process runs, `/readyz` that it can do its work (503 with the reasons when
/// not), `/metrics` what it has counted. For a cluster's probes and Prometheus, not for the public:
/// bodies are refused, headers, connections and times are bounded.
package final class HealthServer: Sendable {
    /// How the server listens and what it bounds.
    package struct Configuration: Sendable {
        package var host: String
        /// 0 lets the system choose: see `HealthServer.port`.
        package var port: Int
        /// Connections at the same time; further ones are closed at once.
        package var connectionLimit = 64
        /// All headers of one request together, in bytes.
        package var headerLimit = 8_192
        /// From the connection, or the last answer, to the end of the next request's head.
        package var requestTimeout = Duration.seconds(10)
        /// For one readiness check.
        package var checkTimeout = Duration.seconds(3)

        package init(host: String = "127.0.0.1", port: Int = 0) {
            self.host = host
            self.port = port
        }
    }

    /// The port it listens on.
    package let port: Int
    private let channel: any Channel
    private let group: MultiThreadedEventLoopGroup

    private init(channel: any Channel, group: MultiThreadedEventLoopGroup, port: Int) {
        self.channel = channel
        self.group = group
        self.port = port
    }

    /// Starts listening.
    ///
    /// - Parameters:
    ///   - configuration: where and within which bounds.
    ///   - checks: what `/readyz` asks; without any it always says ready.
    ///   - metrics: the text of `/metrics`, from `MetricRegistry.exposition`.
    /// - Throws: `TelemetryError` when the address cannot be had.
    package static func start(
        _ configuration: Configuration = Configuration(), checks: [ReadinessCheck] = [],
        metrics: @escaping @Sendable () -> String
    ) async throws -> HealthServer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let service = HealthService(
            readiness: ReadinessEvaluator(checks: checks, timeout: configuration.checkTimeout), metrics: metrics)
        let limiter = ConnectionLimiter(limit: configuration.connectionLimit)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Self.configure(channel.pipeline.syncOperations, configuration, service, limiter)
                }
            }
        do {
            let channel = try await bootstrap.bind(host: configuration.host, port: configuration.port).get()
            let port = channel.localAddress?.port ?? configuration.port
            return HealthServer(channel: channel, group: group, port: port)
        } catch {
            try? await group.shutdownGracefully()
            throw TelemetryError(
                .addressUnavailable,
                "cannot listen on \(configuration.host):\(configuration.port) for health and metrics: \(error); "
                    + "choose another address or port (0 for any free one)")
        }
    }

    /// Stops listening, closes the connections and ends the thread.
    package func stop() async {
        // Both fail only when they are closed already.
        try? await channel.close().get()
        try? await group.shutdownGracefully()
    }

    private static func configure(
        _ pipeline: ChannelPipeline.SynchronousOperations, _ configuration: Configuration, _ service: HealthService,
        _ limiter: ConnectionLimiter
    ) throws {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = configuration.headerLimit
        limits.maxHeaderListSize = configuration.headerLimit
        limits.maxHeaderFieldCount = 64
        try pipeline.addHandlers([
            HTTPResponseEncoder(),
            ByteToMessageHandler(HTTPRequestDecoder(limitConfiguration: limits), maximumBufferSize: 65_536),
            HealthHandler(service: service, limiter: limiter, timeout: TimeAmount(configuration.requestTimeout)),
        ])
    }
}
