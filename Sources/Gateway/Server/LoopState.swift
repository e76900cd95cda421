import Glibc
import NIOCore
import NIOPosix
import Pipeline

/// What the connections of one event loop share; used on that loop only.
final class LoopState {
    let core: GatewayCore
    let loop: any EventLoop
    /// Unlike the other loops'.
    let number: UInt64
    let lookout: Lookout
    let streams: StreamReader
    /// Calls under way whose answer others may share.
    var jointCalls: [Question: JointCall] = [:]
    /// Connections to replicas that are open and free, by the replica's number.
    private var idle: [Int: IdleConnections] = [:]
    private var clients: [ClientConnection] = []
    /// Those that are to be flushed once all that has come is read.
    private var unflushed: [ClientConnection] = []
    /// Empty but while those in it are flushed; keeps its memory for the next ones.
    private var flushing: [ClientConnection] = []
    private var sweeping: RepeatedTask?
    private var random = WordGenerator()

    /// How exact timeouts are.
    private static let sweepInterval = TimeAmount.milliseconds(100)

    init(core: GatewayCore, loop: any EventLoop) {
        self.core = core
        self.loop = loop
        lookout = Lookout(loop)
        streams = StreamReader(loop, from: core.configuration.limits.readsTogether)
        number = random.next()
    }

    /// The last one was used last. An object, so that taking one changes no dictionary.
    private final class IdleConnections {
        var stack: [UpstreamConnection] = []
    }

    /// What must be the same for two requests to share an answer.
    struct Question: Hashable {
        let key: Int
        let isBatch: Bool
        let cached: AnswerCache.Question

        init(_ exchange: Exchange) {
            let request = exchange.request
            key = request.key?.id ?? 0
            isBatch = exchange.ask.isBatch
            cached = AnswerCache.Question(
                deployment: exchange.deployment.id, team: request.key?.key.team ?? "", endpoint: request.endpoint,
                body: request.body)
        }
    }

    /// Starts to look for what took too long.
    func start() {
        let bound = NIOLoopBound(self, eventLoop: loop)
        sweeping = loop.scheduleRepeatedTask(initialDelay: Self.sweepInterval, delay: Self.sweepInterval) { _ in
            bound.value.sweep()
        }
    }

    func add(_ client: ClientConnection) {
        client.sweepIndex = clients.count
        clients.append(client)
        core.metrics.connected(1)
    }

    func remove(_ client: ClientConnection) {
        guard let last = clients.popLast() else { return }
        core.metrics.connected(-1)
        if last !== client {
            last.sweepIndex = client.sweepIndex
            clients[client.sweepIndex] = last
        }
    }

    var clientCount: Int { clients.count }

    /// A connection to the replica that is free.
    func takeConnection(to replica: Replica) -> UpstreamConnection? {
        idle[replica.id]?.stack.popLast()
    }

    func keep(_ connection: UpstreamConnection) {
        let id = connection.replica.id
        if let known = idle[id] {
            known.stack.append(connection)
        } else {
            let made = IdleConnections()
            made.stack.append(connection)
            idle[id] = made
        }
    }

    /// Closes the free connections to a replica: one of them had been closed by it, so the others may be too.
    func dropIdle(to replica: Replica) {
        for connection in idle.removeValue(forKey: replica.id)?.stack ?? [] { connection.close() }
    }

    func forget(_ connection: UpstreamConnection) {
        guard let known = idle[connection.replica.id],
            let index = known.stack.firstIndex(where: { $0 === connection })
        else { return }
        known.stack.remove(at: index)
    }

    /// Opens a connection to the replica; answers later, on this loop.
    func connect(to replica: Replica, _ done: @escaping (Result<UpstreamConnection, any Error>) -> Void) {
        let bound = NIOLoopBound((self, done), eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(core.configuration.timeouts.connect))
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_rcvbuf), value: core.configuration.limits.socketBuffer)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (state, _) = bound.value
                    try channel.pipeline.syncOperations.addHandler(UpstreamConnection(state, replica))
                }
            }
            .connect(host: replica.configuration.host, port: replica.configuration.port)
            .whenComplete { result in
                let (_, done) = bound.value
                do {
                    let pipeline = try result.get().pipeline.syncOperations
                    done(.success(try pipeline.handler(type: UpstreamConnection.self)))
                } catch {
                    done(.failure(error))
                }
            }
    }

    /// Flushes a client's connection after everything that came with what it is given, once.
    ///
    /// With many streams the pieces of many come at once. To read them all first and then write them all takes less time
    /// than to go back and forth: whoever is woken by the first one is still awake when the others come.
    func flushSoon(_ client: ClientConnection) {
        unflushed.append(client)
        guard unflushed.count == 1 else { return }
        loop.assumeIsolated().execute { self.flushAll() }
    }

    private func flushAll() {
        swap(&unflushed, &flushing)
        for index in flushing.indices { flushing[index].flush() }
        flushing.removeAll(keepingCapacity: true)
    }

    /// Closes all clients' connections that wait for a request, and lets the others end with their answers.
    func drain() {
        for client in clients { client.drain() }
    }

    /// Ends everything at once.
    func stop() {
        sweeping?.cancel()
        for client in clients { client.close() }
        let left = idle.values
        idle = [:]
        for connection in left.flatMap(\.stack) { connection.close() }
    }

    func randomWord() -> UInt64 { random.next() }

    var secondsSince1970: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func sweep() {
        let now = NIODeadline.now()
        core.admission.tick()
        // Who is closed here leaves the list, and the last one takes its place.
        var index = clients.count - 1
        while index >= 0 {
            if index < clients.count, clients[index].deadline < now { clients[index].expire(now) }
            index -= 1
        }
        let oldest = now - TimeAmount(core.configuration.timeouts.upstreamIdle)
        for (id, known) in idle {
            let old = known.stack.prefix { $0.idleSince < oldest }
            guard !old.isEmpty else { continue }
            known.stack.removeFirst(old.count)
            for connection in old { connection.close() }
            if known.stack.isEmpty { idle[id] = nil }
        }
    }
}
