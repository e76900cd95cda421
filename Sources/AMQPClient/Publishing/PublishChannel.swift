import CRabbitMQ

/// The channel in confirm mode: what is written, what is confirmed, what came back.
///
/// Confined to the thread of its link.
final class PublishChannel: AMQPChannel {
    /// For what waits, the queue keeps its place; for what was written, the window does.
    private(set) var waiting = FIFO<PendingPublish>()
    private(set) var window = ConfirmWindow<PendingPublish>()
    private let maximumOutstanding: Int
    private weak var link: AMQPLink?
    private var number: UInt16?
    private var isReady = false

    init(maximumOutstanding: Int) {
        self.maximumOutstanding = maximumOutstanding
    }

    // MARK: Life

    func open(on link: AMQPLink) {
        self.link = link
        let number = link.addChannel(self)
        self.number = number
        isReady = false
        var open = amqp_channel_open_t()
        open.out_of_band = amqp_bytes_t()
        link.send(AMQP_CHANNEL_OPEN_METHOD, open, channel: number)
        link.send(AMQP_CONFIRM_SELECT_METHOD, amqp_confirm_select_t(), channel: number)
    }

    /// The connection is gone: what was written has an unknown outcome, what was not stays queued.
    func connectionLost(_ error: AMQPError) {
        number = nil
        isReady = false
        for publish in window.reset() {
            publish.complete(.failure(publish.returned ?? Self.unknown(error)))
        }
    }

    func failAll(_ error: AMQPError) {
        number = nil
        isReady = false
        for publish in window.reset() {
            var error = error
            error.isOutcomeUnknown = true
            publish.complete(.failure(publish.returned ?? error))
        }
        failWaiting(error)
    }

    func failWaiting(_ error: AMQPError) {
        for publish in waiting.removeAll() { publish.complete(.failure(error)) }
    }

    private static func unknown(_ error: AMQPError) -> AMQPError {
        AMQPError(
            .connectionLost,
            "the broker did not confirm the message before the channel ended, so it may or may not be in its queue: "
                + error.message,
            isRetryable: true, isOutcomeUnknown: true, replyCode: error.replyCode)
    }

    // MARK: Out

    func add(_ publishes: [PendingPublish]) {
        waiting.append(contentsOf: publishes)
    }

    /// Encodes what the window, the socket and the broker allow.
    func pump() {
        guard let link, let number, isReady, link.blockedReason == nil else { return }
        while link.isUp {
            while window.count < maximumOutstanding, link.output.count < AMQPLink.outputHighWater,
                let publish = waiting.popFirst()
            {
                if publish.isComplete { continue }
                do throws(AMQPError) {
                    try link.output.publish(publish.publication, channel: number, maximumBody: link.maximumBody)
                    window.append(publish)
                } catch {
                    publish.complete(.failure(error))
                }
            }
            link.flush()
            // Go on if the socket took everything; else its `drained` comes back here.
            guard link.output.isEmpty, !waiting.isEmpty, window.count < maximumOutstanding else { return }
        }
    }

    // MARK: In

    func received(_ id: amqp_method_number_t, _ decoded: UnsafeRawPointer) {
        switch id {
        case AMQP_CONFIRM_SELECT_OK_METHOD:
            isReady = true
        case AMQP_BASIC_ACK_METHOD:
            let ack = decoded.load(as: amqp_basic_ack_t.self)
            for publish in window.settle(ack.delivery_tag, multiple: ack.multiple != 0) {
                publish.complete(publish.returned.map { .failure($0) } ?? .success(()))
            }
        case AMQP_BASIC_NACK_METHOD:
            let nack = decoded.load(as: amqp_basic_nack_t.self)
            for publish in window.settle(nack.delivery_tag, multiple: nack.multiple != 0) {
                publish.complete(.failure(publish.returned ?? Self.nacked(publish.publication)))
            }
        default:
            break
        }
    }

    func received(_ content: ContentAssembler.Content) {
        guard case .returned(let code, let text, let exchange, let routingKey) = content.announcement else { return }
        let error = AMQPError(
            .unroutable,
            "the message to exchange '\(exchange)' with routing key '\(routingKey)' reached no queue: \(text); declare "
                + "the queue and its binding first",
            replyCode: code)
        ReturnMatcher.mark(
            in: &window, error: error, exchange: exchange, routingKey: routingKey, message: content.message)
    }

    private static func nacked(_ publication: AMQPPublication) -> AMQPError {
        AMQPError(
            .nacked,
            "the broker refused the message to exchange '\(publication.exchange)' with routing key "
                + "'\(publication.routingKey)': a queue is full (x-overflow=reject-publish) or cannot store it now",
            isRetryable: true)
    }

    /// One publish to a missing or forbidden exchange ends the channel for all. The broker handles a
    /// channel in order and nothing after the close, so the culprit gets the error, what was written
    /// after it is sent again, and only what was written before it has an unknown outcome.
    func closed(_ error: AMQPError) {
        number = nil
        isReady = false
        let outstanding = window.reset()
        let culprit = outstanding.firstIndex { publish in
            !publish.publication.exchange.isEmpty && error.message.contains("'\(publish.publication.exchange)'")
        }
        for publish in outstanding.prefix(culprit ?? outstanding.count) {
            publish.complete(.failure(publish.returned ?? Self.unknown(error)))
        }
        if let culprit {
            outstanding[culprit].complete(.failure(Self.refused(error, outstanding[culprit].publication)))
            waiting.prepend(contentsOf: Array(outstanding[(culprit + 1)...]))
        }
        if let link, link.isUp { open(on: link) }
    }

    private static func refused(_ error: AMQPError, _ publication: AMQPPublication) -> AMQPError {
        var error = error
        error.message = "publish to exchange '\(publication.exchange)' refused: \(error.message)"
        if error.code == .notFound { error.message += "; declare the exchange first" }
        return error
    }

    // MARK: Deadlines

    /// Ends what is overdue. What was written stays in the window, so that the tags keep counting.
    /// - Returns: the next deadline.
    func expire(at now: ContinuousClock.Instant, because reason: (_ written: Bool) -> AMQPError) -> ContinuousClock
        .Instant?
    {
        var next: ContinuousClock.Instant?
        for publish in waiting.remove(where: { $0.deadline <= now || $0.isComplete }) {
            publish.complete(.failure(reason(false)))
        }
        waiting.forEach { next = min(next ?? $0.deadline, $0.deadline) }
        window.forEach { publish in
            if publish.deadline <= now {
                publish.complete(.failure(publish.returned ?? reason(true)))
            } else {
                next = min(next ?? publish.deadline, publish.deadline)
            }
        }
        return next
    }
}
