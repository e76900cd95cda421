/// How a scheduler works.
package struct SchedulerConfiguration: Sendable {
    /// Events per transaction, at most.
    package var eventBatch: Int
    /// Results per transaction, at most.
    package var resultBatch: Int
    /// Tasks of a pool dispatched in one transaction, at most.
    package var dispatchBatch: Int
    /// Tasks of a pool in the broker or at work, at most, per slot of its workers.
    package var windowFactor: Int
    /// The same for a pool without workers: enough to show that there is demand.
    package var minimumWindow: Int
    /// How long a busy loop waits for more, so that more is done in one transaction.
    package var linger: Duration
    package var reconcileInterval: Duration
    /// How long a task may be on its way before anybody asks where it is.
    package var dispatchGrace: Duration
    /// How long a claim lasts without a heartbeat; the workers' setting.
    package var lease: Duration

    package init(
        eventBatch: Int = 200, resultBatch: Int = 500, dispatchBatch: Int = 500, windowFactor: Int = 4,
        minimumWindow: Int = 4, linger: Duration = .milliseconds(3),
        reconcileInterval: Duration = .seconds(2), dispatchGrace: Duration = .seconds(5), lease: Duration = .seconds(30)
    ) {
        self.eventBatch = eventBatch
        self.resultBatch = resultBatch
        self.dispatchBatch = dispatchBatch
        self.windowFactor = windowFactor
        self.minimumWindow = minimumWindow
        self.linger = linger
        self.reconcileInterval = reconcileInterval
        self.dispatchGrace = dispatchGrace
        self.lease = lease
    }
}
