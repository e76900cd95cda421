/// What a consumer decided about one delivery.
struct Settlement: Hashable, Sendable {
    enum Verdict: Sendable {
        case ack
        /// This one and all before it on the channel.
        case ackUpTo
        case requeue
        /// Dead-lettered if the queue has an exchange for that, else dropped.
        case discard
    }

    /// Which incarnation of the channel delivered it.
    var epoch: UInt64
    var tag: UInt64
    var verdict: Verdict
}
