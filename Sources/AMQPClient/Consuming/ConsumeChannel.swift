import CRabbitMQ
import Logging
import SocketExecutor

/// The channel of one consumer, through all its incarnations.
///
/// Confined to the thread of its link.
final class ConsumeChannel: AMQPChannel {
    private enum Phase {
        /// No channel: the connection is down, or the broker refused and a retry waits.
        case down
        case subscribing
        case active
        /// To be cancelled as soon as the subscription stands. A quorum queue answers `basic.consume` later than a
        /// `basic.cancel` that follows it, and RabbitMQ 3.10 then ends the connection with INTERNAL_ERROR.
        case cancelPending
        /// `basic.cancel` was sent.
        case cancelling
        /// No more deliveries come; the channel lives until the last one is settled.
        case draining
        case over
    }

    /// How long a consumer that once worked tries again after a refusal: after a broker's restart a
    /// queue may take a while to come back, or a half-dead connection still holds it exclusively.
    private static let resubscribeTime = Duration.seconds(60)

    let core: ConsumerCore
    private let counters: ConsumerCounters
    private let logger: Logger
    private let executor: SocketExecutor
    private weak var link: AMQPLink?
    private var number: UInt16?
    private var phase = Phase.down
    private var epoch: UInt64 = 0
    private var tracker = SettlementTracker(epoch: 0)
    private var fresh: [AMQPDelivery] = []
    private var everActive = false
    private var refusedSince: ContinuousClock.Instant?
    private var backoff: BackoffState
    private var retry: SocketExecutor.TimerID?
    private var cancelWaiters: [() -> Void] = []
    private var requeueBuffered = false

    init(
        core: ConsumerCore, counters: ConsumerCounters, logger: Logger, executor: SocketExecutor,
        backoff: AMQPConfiguration.Backoff
    ) {
        self.core = core
        self.counters = counters
        self.logger = logger
        self.executor = executor
        self.backoff = BackoffState(backoff)
    }

    var isOver: Bool {
        if case .over = phase { return true }
        return false
    }

    // MARK: Subscribing

    func subscribe(on link: AMQPLink) {
        guard case .down = phase, link.isUp else { return }
        self.link = link
        let number = link.addChannel(self)
        self.number = number
        epoch += 1
        tracker = SettlementTracker(epoch: epoch)
        phase = .subscribing
        link.send(AMQP_CHANNEL_OPEN_METHOD, amqp_channel_open_t(), channel: number)
        var qos = amqp_basic_qos_t()
        qos.prefetch_count = core.prefetch
        link.send(AMQP_BASIC_QOS_METHOD, qos, channel: number)
        var consume = amqp_basic_consume_t()
        consume.queue = link.output.arena.bytes(core.queue)
        consume.consumer_tag = link.output.arena.bytes(core.consumerTag)
        consume.exclusive = core.exclusive ? 1 : 0
        link.send(AMQP_BASIC_CONSUME_METHOD, consume, channel: number)
        link.output.arena.recycle()
        link.flush()
    }

    func connectionLost() {
        loseChannel()
        switch phase {
        case .subscribing, .active:
            phase = .down
        case .cancelPending, .cancelling, .draining:
            finish(nil)
        case .down, .over:
            break
        }
    }

    /// The broker delivers again whatever was not settled, so the buffer's copies must not come out.
    private func loseChannel() {
        number = nil
        fresh = []
        core.discardBuffer()
    }

    private func finish(_ error: AMQPError?) {
        if let retry { executor.cancelTimer(retry) }
        retry = nil
        phase = .over
        core.end(error)
        resumeCancelWaiters()
    }

    private func resumeCancelWaiters() {
        let waiters = cancelWaiters
        cancelWaiters = []
        for waiter in waiters { waiter() }
    }

    // MARK: Ending

    /// The client is closing; the broker takes back what is unsettled.
    func clientClosed() {
        if case .over = phase { return }
        flushFresh()
        core.discardBuffer()
        number = nil
        finish(nil)
    }

    /// - Parameter done: called when no further delivery can come.
    func cancel(requeueBuffered: Bool, _ done: @escaping () -> Void) {
        self.requeueBuffered = self.requeueBuffered || requeueBuffered
        switch phase {
        case .down:
            finish(nil)
            done()
        case .subscribing:
            cancelWaiters.append(done)
            phase = .cancelPending
        case .active:
            cancelWaiters.append(done)
            sendCancel()
        case .cancelPending, .cancelling:
            cancelWaiters.append(done)
        case .draining:
            returnBuffer()
            settle()
            done()
        case .over:
            done()
        }
    }

    private func sendCancel() {
        phase = .cancelling
        guard let link, let number else { return }
        var cancel = amqp_basic_cancel_t()
        cancel.consumer_tag = link.output.arena.bytes(core.consumerTag)
        link.send(AMQP_BASIC_CANCEL_METHOD, cancel, channel: number)
        link.output.arena.recycle()
        link.flush()
    }

    private func returnBuffer() {
        guard requeueBuffered else { return }
        core.settlements.add(
            core.takeBuffer().map {
                Settlement(epoch: $0.epoch, tag: $0.deliveryTag, verdict: $0.isOversized ? .discard : .requeue)
            })
    }

    /// No more deliveries come on this channel.
    private func drain(_ error: AMQPError?) {
        flushFresh()
        phase = .draining
        returnBuffer()
        core.end(error)
        resumeCancelWaiters()
        settle()
        link?.flush()
    }

    // MARK: In

    func received(_ id: amqp_method_number_t, _ decoded: UnsafeRawPointer) {
        switch id {
        case AMQP_BASIC_CONSUME_OK_METHOD:
            if case .cancelPending = phase { return sendCancel() }
            guard case .subscribing = phase else { return }
            phase = .active
            everActive = true
            refusedSince = nil
            backoff.reset()
        case AMQP_BASIC_CANCEL_OK_METHOD:
            drain(nil)
        case AMQP_BASIC_CANCEL_METHOD:
            let isOurs = if case .cancelling = phase { true } else { false }
            drain(
                isOurs
                    ? nil
                    : AMQPError(
                        .consumerCancelled,
                        "the broker ended the consumer of queue '\(core.queue)': the queue was deleted, or its leader "
                            + "moved; declare the queue if it is gone and consume again",
                        isRetryable: true))
        default:
            break
        }
    }

    func received(_ content: ContentAssembler.Content) {
        guard
            case .delivery(let consumerTag, let tag, let redelivered, let exchange, let routingKey) =
                content.announcement
        else { return }
        tracker.delivered(tag)
        let delivery = AMQPDelivery(
            content: AMQPDelivery.Content(
                message: content.message, exchange: exchange, routingKey: routingKey, consumerTag: consumerTag,
                deliveryTag: tag, redelivered: redelivered, bodySize: content.bodySize),
            settlements: core.settlements, epoch: epoch)
        if delivery.isOversized {
            counters.oversizedDelivered()
            logger.warning(
                "rejected a message that is too large",
                metadata: ["queue": "\(core.queue)", "bytes": "\(content.bodySize)"])
        }
        fresh.append(delivery)
    }

    /// Passes on what a burst brought: one lock and one wake-up for all of it.
    func flushFresh() {
        guard !fresh.isEmpty else { return }
        core.deliver(fresh)
        fresh.removeAll(keepingCapacity: fresh.capacity <= 1_024)
    }

    func closed(_ error: AMQPError) {
        let before = phase
        loseChannel()
        switch before {
        case .cancelPending, .cancelling, .draining, .over:
            finish(nil)
        case .subscribing, .active, .down:
            let now = ContinuousClock.now
            let since = refusedSince ?? now
            refusedSince = since
            guard everActive, now - since < Self.resubscribeTime else {
                finish(explained(error))
                return
            }
            logger.warning(
                "the broker closed a consumer's channel; subscribing again",
                metadata: ["queue": "\(core.queue)", "error": "\(error)"])
            phase = .down
            retry = executor.setTimer(at: now + backoff.next()) { [self] in
                retry = nil
                if let link { subscribe(on: link) }
            }
        }
    }

    private func explained(_ error: AMQPError) -> AMQPError {
        var error = error
        error.message = "cannot consume from queue '\(core.queue)': \(error.message)"
        if error.code == .notFound { error.message += "; declare the queue first" }
        return error
    }

    // MARK: Out

    func settle() {
        let settlements = core.settlements.takeAll()
        if !settlements.isEmpty {
            if let link, let number {
                tracker.settle(settlements, on: link, channel: number, counters: counters)
            } else {
                counters.settlementsDropped(settlements.count)
            }
        }
        if case .draining = phase, tracker.unsettled == 0 {
            if let link, let number { link.closeChannel(number) }
            number = nil
            phase = .over
        }
    }
}
