/// A publication on its way, and who waits for its outcome.
struct PendingPublish {
    let publication: AMQPPublication
    let ticket: PublishTicket
    let index: Int
    let deadline: ContinuousClock.Instant
    /// Set by `basic.return`, which comes before the confirmation of the same message.
    var returned: AMQPError?

    func complete(_ outcome: Result<Void, AMQPError>) {
        ticket.complete(index, outcome)
    }

    /// Nobody waits any more: cancelled, or timed out.
    var isComplete: Bool { ticket.isComplete(index) }
}
