package import Logging
import NIOCore
import NIOPosix

/// A gateway: listens, passes requests on to replicas and their answers back.
package final class Gateway: Sendable {
    /// The port it listens on.
    package let port: Int
    let core: GatewayCore
    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel
    private let loops: [Loop]

    /// An event loop and what its connections share.
    private struct Loop: Sendable {
        let loop: any EventLoop
        let state: NIOLoopBound<LoopState>
    }

    private init(
        core: GatewayCore, group: MultiThreadedEventLoopGroup, channel: any Channel, loops: [Loop]
    ) {
        self.core = core
        self.group = group
        self.channel = channel
        self.loops = loops
        port = channel.localAddress?.port ?? core.configuration.port
    }

    /// Starts listening.
    package static func start(
        _ configuration: GatewayConfiguration, prices: PriceTable = PriceTable(), logger: Logger
    ) async throws -> Gateway {
        let core = GatewayCore(configuration: configuration, prices: prices, logger: logger)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.threads)
        var loops: [Loop] = []
        for loop in group.makeIterator() {
            let state = try await loop.submit {
                let state = LoopState(core: core, loop: loop)
                state.start()
                return NIOLoopBound(state, eventLoop: loop)
            }.get()
            loops.append(Loop(loop: loop, state: state))
        }
        let states = loops
        let limit = configuration.limits.connections / configuration.threads
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4_096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let own = states.first { $0.loop === channel.eventLoop }
                    guard let state = own?.state.value, state.clientCount < limit else {
                        channel.close(promise: nil)
                        return
                    }
                    try channel.pipeline.syncOperations.addHandler(ClientConnection(state))
                }
            }
        do {
            let channel = try await bootstrap.bind(host: configuration.host, port: configuration.port).get()
            return Gateway(core: core, group: group, channel: channel, loops: loops)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Sets who answers for which model.
    package func route(_ replicas: [ReplicaConfiguration]) {
        core.route(replicas)
    }

    /// Sets the keys that are known.
    package func setKeys(_ keys: [APIKey]) {
        core.keys.update(keys)
    }

    /// Stops listening, closes the connections and ends the threads.
    package func stop() async {
        try? await channel.close().get()
        for loop in loops { loop.loop.execute { loop.state.value.stop() } }
        try? await group.shutdownGracefully()
    }
}
