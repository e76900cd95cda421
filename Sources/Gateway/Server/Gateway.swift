package import Coordination
package import HTTPTransport
package import Ledger
package import Logging
import NIOCore
import NIOPosix
package import Pipeline
import Synchronization

/// Why a gateway cannot listen.
package struct GatewayStartError: Error, CustomStringConvertible {
    package let description: String
}

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
    /// - Parameters:
    ///   - prices: what tokens cost.
    ///   - journalFolder: where it is written down what requests take, on a disk that outlives the process; nil for
    ///     not at all.
    package static func start(
        _ configuration: GatewayConfiguration, prices: PriceTable = PriceTable(), journalFolder: String? = nil,
        logger: Logger
    ) async throws -> Gateway {
        let journal = try journalFolder.map { try UsageJournal.make(in: $0, prices: prices) }
        let core = GatewayCore(configuration: configuration, prices: prices, journal: journal, logger: logger)
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
            .childChannelOption(.socketOption(.so_sndbuf), value: configuration.limits.socketBuffer)
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
            journal?.remove()
            try? await group.shutdownGracefully()
            throw GatewayStartError(
                description: "cannot listen on \(configuration.host):\(configuration.port): \(error); choose another "
                    + "address in gateway.address (MARTLET_GATEWAY_ADDRESS), or stop what has it")
        }
    }

    /// Where this machine reaches it.
    package var url: String {
        let host =
            switch core.configuration.host {
            case "0.0.0.0": "127.0.0.1"
            case "::": "[::1]"
            case let host: host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
            }
        return "http://\(host):\(port)"
    }

    /// Sets who answers for which model.
    package func route(_ replicas: [ReplicaConfiguration]) {
        core.route(replicas)
    }

    /// Sets who answers the paths that need no model server.
    package func serve(_ service: any GatewayService) {
        core.service.withLock { $0 = service }
    }

    /// What the gateway knows requests by that its own process sends for a batch of a key.
    package func batchAuthorization(key: Int) -> String {
        core.batchPass.authorization(key: key)
    }

    /// Sets the keys that are known.
    package func setKeys(_ keys: [APIKey]) {
        core.keys.update(keys)
    }

    /// Why it cannot serve yet; nil when it can.
    package var notReady: String? {
        if core.configuration.requiresKeys, !core.keys.isLoaded { return "the keys are not known yet" }
        if core.modelNames.isEmpty { return "no model server is known" }
        return nil
    }

    /// Keeps what the gateway knows and what others know of it up to date, until it is cancelled.
    /// - Parameters:
    ///   - ledger: has the keys, and gets what was used.
    ///   - coordinator: where the gateways compare what they took of the keys' limits.
    ///   - name: this gateway's, unlike the others'.
    ///   - fixed: replicas that are written down; others register themselves.
    ///   - credential: sent to those that register themselves, if they want one.
    package func follow(
        ledger: Ledger, coordinator: Coordinator, transport: HTTPTransport, name: String,
        fixed: [ReplicaConfiguration], credential: String?
    ) async {
        let replicas = ReplicaFollower(
            core: core, fixed: fixed, credential: credential, coordinator: coordinator, log: core.log)
        let prober = ReplicaProber(core: core, transport: transport, log: core.log)
        let follower = KeyFollower(table: core.keys, ledger: ledger, log: core.log)
        let sync = LimitSync(table: core.keys, coordinator: coordinator, name: name, log: core.log)
        let busy = BusySync(core: core, coordinator: coordinator, name: name, log: core.log)
        let rollouts = RolloutFollower(table: core.rollouts, ledger: ledger, log: core.log)
        let flusher = flusher(ledger)
        core.mirror.withLock {
            $0 = Mirror(transport: transport, url: url, authorization: core.batchPass.mirrorAuthorization)
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await replicas.run() }
            group.addTask { await prober.run() }
            group.addTask { await follower.run() }
            group.addTask { await sync.run() }
            group.addTask { await busy.run() }
            group.addTask { await rollouts.run() }
            if let flusher { group.addTask { await flusher.run() } }
        }
    }

    /// Brings what was used to the ledger, at the end; what it does not take stays in the journal for the next process.
    package func settle(ledger: Ledger) async throws {
        guard let journal = core.journal, let flusher = flusher(ledger) else { return }
        try await flusher.flush(journal)
        journal.remove()
    }

    private func flusher(_ ledger: Ledger) -> UsageFlusher? {
        core.journal.map { journal in
            UsageFlusher(
                journal: journal, parent: journal.parent, prices: core.prices, keys: core.keys, ledger: ledger,
                log: core.log)
        }
    }

    /// Takes no further requests and waits until those that run have ended, or the time is over.
    package func drain(within limit: Duration) async {
        try? await channel.close().get()
        for loop in loops { loop.loop.execute { loop.state.value.drain() } }
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            var count = 0
            for loop in loops { count += (try? await loop.loop.submit { loop.state.value.clientCount }.get()) ?? 0 }
            if count == 0 { return }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Answers that come in pieces at present, and how many of them are read together.
    var streams: (all: Int, together: Int) {
        get async throws {
            var sum = (all: 0, together: 0)
            for loop in loops {
                let streams = try await loop.loop.submit {
                    let reader = loop.state.value.streams
                    return (reader.answers, reader.count)
                }.get()
                sum = (sum.all + streams.0, sum.together + streams.1)
            }
            return sum
        }
    }

    /// Stops listening, closes the connections and ends the threads.
    package func stop() async {
        try? await channel.close().get()
        for loop in loops { loop.loop.execute { loop.state.value.stop() } }
        try? await group.shutdownGracefully()
    }
}
