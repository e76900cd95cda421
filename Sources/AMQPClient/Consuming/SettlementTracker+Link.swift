import CRabbitMQ

extension SettlementTracker {
    /// Queues the frames; the link is flushed by the caller's turn.
    mutating func settle(
        _ settlements: [Settlement], on link: AMQPLink, channel: UInt16, counters: ConsumerCounters
    ) {
        let (frames, dropped) = settle(settlements)
        if dropped > 0 { counters.settlementsDropped(dropped) }
        for frame in frames {
            switch frame {
            case .ack(let tag, let multiple):
                var method = amqp_basic_ack_t()
                method.delivery_tag = tag
                method.multiple = multiple ? 1 : 0
                link.send(AMQP_BASIC_ACK_METHOD, method, channel: channel)
            case .nack(let tag, let requeue):
                var method = amqp_basic_nack_t()
                method.delivery_tag = tag
                method.requeue = requeue ? 1 : 0
                link.send(AMQP_BASIC_NACK_METHOD, method, channel: channel)
            }
        }
    }
}
