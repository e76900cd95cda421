import CRabbitMQ
import SocketExecutor

/// A channel for questions, one at a time. A refusal closes it, as AMQP has it; the next question
/// opens it again. A question that a lost connection left unanswered is asked again after the
/// reconnect, so only repeatable ones belong here.
///
/// Confined to the thread of its link.
final class RPCChannel: AMQPChannel {
    private let counters: ConsumerCounters
    /// For deliveries that `basic.get` brought.
    let settlements: SettlementInbox
    private weak var link: AMQPLink?
    private var number: UInt16?
    private var isOpen = false
    private var current: RPCCall?
    private var waiting = FIFO<RPCCall>()
    private var epoch: UInt64 = 0
    private var tracker = SettlementTracker(epoch: 0)

    init(executor: SocketExecutor, counters: ConsumerCounters) {
        settlements = SettlementInbox(executor: executor)
        self.counters = counters
    }

    var isIdle: Bool { current == nil && waiting.isEmpty }

    func attach(to link: AMQPLink) {
        self.link = link
        next()
    }

    func ask(_ call: RPCCall) {
        waiting.append(call)
        next()
    }

    private func next() {
        guard let link, link.isUp, current == nil, !waiting.isEmpty else { return }
        guard isOpen, let number else {
            guard self.number == nil else { return }
            let number = link.addChannel(self)
            self.number = number
            link.send(AMQP_CHANNEL_OPEN_METHOD, amqp_channel_open_t(), channel: number)
            link.flush()
            return
        }
        guard let call = waiting.popFirst() else { return }
        guard !call.isComplete else { return next() }
        // A refusal would take the channel and with it settlements that were made before this question.
        settle()
        do throws(AMQPError) {
            defer { link.output.arena.recycle() }
            try call.request(link.output, number)
            current = call
        } catch {
            call.complete(.failure(error))
            return next()
        }
        link.flush()
    }

    private func answer(_ outcome: Result<RPCCall.Reply, any Error>) {
        let call = current
        current = nil
        call?.complete(outcome)
        next()
    }

    func connectionLost() {
        number = nil
        isOpen = false
        if let call = current { waiting.prepend(contentsOf: [call]) }
        current = nil
    }

    func failAll(_ error: AMQPError) {
        current?.complete(.failure(error))
        current = nil
        for call in waiting.removeAll() { call.complete(.failure(error)) }
    }

    /// Forgets calls that are over, such as those past their deadline. A late answer to the current
    /// one is still awaited, as it must not be taken for the next one's.
    func prune() {
        _ = waiting.remove(where: \.isComplete)
    }

    // MARK: In

    func received(_ id: amqp_method_number_t, _ decoded: UnsafeRawPointer) {
        switch id {
        case AMQP_CHANNEL_OPEN_OK_METHOD:
            isOpen = true
            epoch += 1
            tracker = SettlementTracker(epoch: epoch)
            next()
        case AMQP_QUEUE_DECLARE_OK_METHOD:
            let reply = decoded.load(as: amqp_queue_declare_ok_t.self)
            answer(
                .success(
                    .queue(
                        AMQPQueueStatus(
                            readyMessages: Int(reply.message_count), consumers: Int(reply.consumer_count)))))
        case AMQP_QUEUE_PURGE_OK_METHOD:
            answer(.success(.count(Int(decoded.load(as: amqp_queue_purge_ok_t.self).message_count))))
        case AMQP_QUEUE_DELETE_OK_METHOD:
            answer(.success(.count(Int(decoded.load(as: amqp_queue_delete_ok_t.self).message_count))))
        case AMQP_EXCHANGE_DECLARE_OK_METHOD, AMQP_QUEUE_BIND_OK_METHOD, AMQP_EXCHANGE_DELETE_OK_METHOD:
            answer(.success(.done))
        case AMQP_BASIC_GET_EMPTY_METHOD:
            answer(.success(.message(nil)))
        default:
            break
        }
    }

    func received(_ content: ContentAssembler.Content) {
        guard case .got(let tag, let redelivered, let exchange, let routingKey) = content.announcement else { return }
        tracker.delivered(tag)
        let delivery = AMQPDelivery(
            content: AMQPDelivery.Content(
                message: content.message, exchange: exchange, routingKey: routingKey, consumerTag: "",
                deliveryTag: tag, redelivered: redelivered, bodySize: content.bodySize),
            settlements: settlements, epoch: epoch)
        if delivery.isOversized {
            counters.oversizedDelivered()
            delivery.reject(requeue: false)
        } else if current?.isComplete == true {
            // The caller gave up waiting.
            delivery.reject(requeue: true)
        }
        answer(.success(.message(delivery)))
    }

    func closed(_ error: AMQPError) {
        number = nil
        isOpen = false
        if current != nil { answer(.failure(error)) } else { next() }
    }

    func settle() {
        let settlements = settlements.takeAll()
        guard !settlements.isEmpty else { return }
        guard let link, let number, isOpen else {
            counters.settlementsDropped(settlements.count)
            return
        }
        tracker.settle(settlements, on: link, channel: number, counters: counters)
    }
}
