import CRabbitMQ
import Glibc
import Logging
import SocketExecutor

/// A connection that comes back: login, frames in and out, heartbeats, backoff. Knows nothing of what
/// its channels are for.
///
/// Confined to the thread of `executor`; the actor that owns it runs there.
final class AMQPLink {
    struct Handlers {
        /// The connection is up: open channels.
        var up: () -> Void
        /// It is gone, with every channel.
        var down: (AMQPError) -> Void
        /// An attempt to connect failed; another follows.
        var failed: (AMQPError) -> Void
        /// The broker's alarm began (with its reason) or ended.
        var blocked: (String?) -> Void
        /// A burst of frames was handled: pass on what it brought.
        var turnEnded: () -> Void
        /// The socket took all that was written: there is room for more.
        var drained: () -> Void
    }

    private enum Phase {
        case idle
        case connecting
        case up(AMQPTransport)
        case waiting
        /// `connection.close` was sent.
        case closing(AMQPTransport)
        case closed
    }

    struct Slot {
        var channel: (any AMQPChannel)?
        var assembler: ContentAssembler
    }

    /// More than this is not encoded ahead of the socket.
    static let outputHighWater = 1 << 20

    let configuration: AMQPConfiguration
    let output = FrameBuffer()
    /// Why the broker takes no publishes now.
    var blockedReason: String?
    /// Why there is no connection now.
    private(set) var lastError: AMQPError?
    private let executor: SocketExecutor
    private let connectionName: String
    let logger: Logger
    let status: AMQPStatus
    private let role: AMQPStatus.Role
    let handlers: Handlers
    private var phase = Phase.idle
    private var attempt: ConnectAttempt?
    private var backoff: BackoffState
    private var timer: SocketExecutor.TimerID?
    /// By channel number. A slot without a channel waits for the broker to agree to its end.
    var slots: [UInt16: Slot] = [:]
    private var lastChannel: UInt16 = 0
    private var connectedAt = ContinuousClock.now
    private var lastReceived = ContinuousClock.now
    /// Since then.
    private var silentBeats = 0
    private var wroteSinceBeat = false
    private var whenClosed: (() -> Void)?

    init(
        configuration: AMQPConfiguration, connectionName: String, logger: Logger, executor: SocketExecutor,
        status: AMQPStatus, role: AMQPStatus.Role, handlers: Handlers
    ) {
        self.configuration = configuration
        self.connectionName = connectionName
        self.logger = logger
        self.executor = executor
        self.status = status
        self.role = role
        self.handlers = handlers
        backoff = BackoffState(configuration.backoff)
    }

    var isUp: Bool {
        if case .up = phase { return true }
        return false
    }

    /// The largest body frame to write.
    var maximumBody: Int {
        if case .up(let transport) = phase, transport.isTLS { return AMQPTransport.tlsBodyLimit }
        return .max
    }

    // MARK: Life

    /// Starts connecting, if that was not done before.
    func start() {
        guard case .idle = phase else { return }
        status.started(role)
        connect()
    }

    /// To be called after each signal of the executor: a connect attempt may have ended, or frames may be
    /// left that do not wake `poll`.
    func signalled() {
        if let result = attempt?.take() {
            attempt = nil
            connectEnded(result)
        }
        if case .up = phase, needsRead { readable(0) }
    }

    /// Sends what is written, says goodbye to the broker and calls `done`, at the latest after a second.
    func close(_ done: @escaping () -> Void) {
        switch phase {
        case .up(let transport):
            whenClosed = done
            var method = amqp_connection_close_t()
            method.reply_code = 200
            phase = .closing(transport)
            slots = [:]
            do throws(AMQPError) {
                try output.method(AMQP_CONNECTION_CLOSE_METHOD, method, channel: 0)
                setTimer(after: .seconds(1)) { [self] in ended() }
                flushOutput(transport)
            } catch {
                ended()
            }
        case .closing, .closed:
            done()
        case .idle, .connecting, .waiting:
            whenClosed = done
            ended()
        }
    }

    private func ended() {
        executor.unwatch()
        cancelTimer()
        attempt?.abandon()
        attempt = nil
        output.removeAll()
        phase = .closed
        let done = whenClosed
        whenClosed = nil
        done?()
    }

    // MARK: Connecting

    private func connect() {
        if let attempt, attempt.isRunning {
            // The resolver still hangs in the attempt before; a second thread would hang there too.
            wait(because: lastError ?? timedOut())
            return
        }
        phase = .connecting
        let login = Login(
            configuration: configuration, connectionName: connectionName,
            deadline: .now + configuration.connectTimeout)
        attempt = ConnectAttempt(login, executor: executor)
        setTimer(after: configuration.connectTimeout + .milliseconds(500)) { [self] in
            attempt?.abandon()
            connectEnded(.failure(timedOut()))
        }
    }

    private func timedOut() -> AMQPError {
        AMQPError(
            .timeout,
            "no connection to the broker at \(configuration.endpoint) within \(configuration.connectTimeout); check "
                + "the name server and the network",
            isRetryable: true)
    }

    private func connectEnded(_ result: Result<AMQPTransport, AMQPError>) {
        guard case .connecting = phase else { return }
        cancelTimer()
        switch result {
        case .failure(let error):
            logger.log(
                level: lastError?.code == error.code ? .debug : .warning, "cannot connect to the broker",
                metadata: ["error": "\(error)", "connection": "\(connectionName)"])
            handlers.failed(error)
            wait(because: error)
        case .success(let transport):
            phase = .up(transport)
            lastError = nil
            connectedAt = .now
            lastReceived = .now
            silentBeats = 0
            output.frameMax = transport.frameMax
            executor.watch(transport.descriptor, events: Int16(POLLIN)) { [self] in readable($0) }
            beat(every: transport.heartbeat)
            logger.debug("connected to the broker", metadata: ["connection": "\(connectionName)"])
            handlers.up()
            flush()
            status.up(role)
            // The broker's first frames may have been read together with the end of the login.
            needsRead = true
            executor.signal()
        }
    }

    private func wait(because error: AMQPError) {
        lastError = error
        phase = .waiting
        setTimer(after: backoff.next()) { [self] in connect() }
    }

    /// Drops the connection and starts over.
    func fail(_ error: AMQPError) {
        guard case .up = phase else {
            if case .closing = phase { ended() }
            return
        }
        executor.unwatch()
        cancelTimer()
        output.removeAll()
        slots = [:]
        needsRead = false
        if ContinuousClock.now - connectedAt > .seconds(5) { backoff.reset() }
        if blockedReason != nil {
            blockedReason = nil
            status.unblocked()
        }
        logger.warning(
            "the connection to the broker was lost; reconnecting",
            metadata: ["error": "\(error)", "connection": "\(connectionName)"])
        wait(because: error)
        status.down(role, reason: error.message)
        handlers.down(error)
    }

    // MARK: Channels

    /// A number for a new channel; the caller sends `channel.open`.
    func addChannel(_ channel: any AMQPChannel) -> UInt16 {
        // 2047 is RabbitMQ's default limit; no client of this kind comes near it.
        repeat { lastChannel = lastChannel % 2_047 + 1 } while slots[lastChannel] != nil
        slots[lastChannel] = Slot(
            channel: channel, assembler: ContentAssembler(maximumMessageBytes: configuration.maximumMessageBytes))
        return lastChannel
    }

    /// Closes a channel; its number is free when the broker has agreed.
    func closeChannel(_ number: UInt16) {
        guard isUp, slots[number] != nil else { return }
        slots[number]?.channel = nil
        var method = amqp_channel_close_t()
        method.reply_code = 200
        send(AMQP_CHANNEL_CLOSE_METHOD, method, channel: number)
    }

    // MARK: Writing

    /// Queues a method of ours, whose arguments were checked before.
    func send<Method>(_ id: amqp_method_number_t, _ method: Method, channel: UInt16) {
        guard isUp else { return }
        do throws(AMQPError) {
            try output.method(id, method, channel: channel)
        } catch {
            fail(error)
        }
    }

    /// Writes what was queued, as far as the socket takes it now.
    func flush() {
        guard case .up(let transport) = phase, !output.isEmpty else { return }
        flushOutput(transport)
    }

    private func flushOutput(_ transport: AMQPTransport) {
        wroteSinceBeat = true
        do throws(AMQPError) {
            let isDone = try transport.write(output)
            executor.setWatchedEvents(isDone ? Int16(POLLIN) : Int16(POLLIN | POLLOUT))
        } catch {
            fail(error)
        }
    }

    // MARK: Reading

    private var needsRead = false

    private func readable(_ events: Int16) {
        if events & Int16(POLLOUT) != 0 {
            switch phase {
            case .up(let transport), .closing(let transport): flushOutput(transport)
            default: break
            }
            if output.isEmpty { handlers.drained() }
            if events == Int16(POLLOUT) { return }
        }
        let transport: AMQPTransport
        switch phase {
        case .up(let current), .closing(let current): transport = current
        default: return
        }
        lastReceived = .now
        silentBeats = 0
        do throws(AMQPError) {
            needsRead = try transport.read { (frame) throws(AMQPError) in try handle(frame) }
            if needsRead { executor.signal() }
        } catch {
            handlers.turnEnded()
            fail(error)
            return
        }
        handlers.turnEnded()
        flush()
    }

    // MARK: Heartbeats

    /// Every half interval: a heartbeat if nothing else was written, and the check that the broker lives
    /// (https://www.rabbitmq.com/docs/heartbeats: dead after two intervals without a byte). Halves are counted and not the
    /// time: a pause of the whole machine, in which nobody could send, is one of them.
    private func beat(every interval: Duration) {
        guard interval > .zero else { return }
        wroteSinceBeat = false
        setTimer(after: interval / 2) { [self] in
            guard case .up(let transport) = phase else { return }
            var entry = pollfd(fd: transport.descriptor, events: Int16(POLLIN), revents: 0)
            // This thread may itself have been stopped for long; what arrived meanwhile counts.
            if poll(&entry, 1, 0) > 0 { readable(entry.revents) }
            guard case .up = phase else { return }
            silentBeats += 1
            guard silentBeats <= 4 else {
                let silence = ContinuousClock.now - lastReceived
                fail(
                    AMQPError(
                        .connectionLost,
                        "the broker at \(configuration.endpoint) was silent for \(silence.components.seconds) s "
                            + "(heartbeat \(interval.components.seconds) s); it or the network hangs",
                        isRetryable: true, isOutcomeUnknown: true))
                return
            }
            if !wroteSinceBeat, output.isEmpty {
                output.heartbeat()
                flush()
            }
            if isUp { beat(every: interval) }
        }
    }

    private func setTimer(after delay: Duration, _ body: @escaping () -> Void) {
        cancelTimer()
        timer = executor.setTimer(at: .now + delay, body)
    }

    private func cancelTimer() {
        if let timer { executor.cancelTimer(timer) }
        timer = nil
    }
}
