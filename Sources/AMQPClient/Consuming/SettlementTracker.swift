/// Turns settlements into as few frames as AMQP allows, and drops those that would make the broker
/// close the channel (`unknown delivery tag`): made twice, or for another incarnation of the channel.
struct SettlementTracker {
    enum Frame: Hashable {
        case ack(UInt64, multiple: Bool)
        case nack(UInt64, requeue: Bool)
    }

    let epoch: UInt64
    /// The newest tag that was delivered on this channel.
    private(set) var newest: UInt64 = 0
    /// Every tag up to this one is settled.
    private var floor: UInt64 = 0
    /// Settled tags above the floor.
    private var settledAbove: Set<UInt64> = []

    init(epoch: UInt64) {
        self.epoch = epoch
    }

    /// Deliveries that wait for a settlement.
    var unsettled: UInt64 { newest - floor - UInt64(settledAbove.count) }

    mutating func delivered(_ tag: UInt64) {
        newest = max(newest, tag)
    }

    /// - Returns: the frames to send, and how many settlements were dropped.
    mutating func settle(_ settlements: [Settlement]) -> (frames: [Frame], dropped: Int) {
        var frames: [Frame] = []
        var dropped = 0
        var acks: [UInt64] = []
        for settlement in settlements {
            guard settlement.epoch == epoch, settlement.tag <= newest, !isSettled(settlement.tag) else {
                dropped += 1
                continue
            }
            switch settlement.verdict {
            case .ack:
                acks.append(settlement.tag)
                settledAbove.insert(settlement.tag)
            case .ackUpTo:
                // What was acknowledged before in this round is covered by this frame.
                acks.removeAll { $0 <= settlement.tag }
                frames.append(.ack(settlement.tag, multiple: true))
                floor = settlement.tag
                settledAbove = settledAbove.filter { $0 > floor }
            case .requeue, .discard:
                frames.append(.nack(settlement.tag, requeue: settlement.verdict == .requeue))
                settledAbove.insert(settlement.tag)
            }
        }
        raiseFloor()
        // All acknowledged tags up to the floor go in one frame. `multiple` is right because every tag up
        // to the floor is settled; the tag named is one that this round settles, as the broker demands.
        let covered = acks.filter { $0 <= floor }
        if let last = covered.max() { frames.append(.ack(last, multiple: covered.count > 1)) }
        frames += acks.filter { $0 > floor }.sorted().map { .ack($0, multiple: false) }
        return (frames, dropped)
    }

    private func isSettled(_ tag: UInt64) -> Bool {
        tag <= floor || settledAbove.contains(tag)
    }

    private mutating func raiseFloor() {
        while settledAbove.remove(floor + 1) != nil { floor += 1 }
    }
}
