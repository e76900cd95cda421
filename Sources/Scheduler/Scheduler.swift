package import Broker
package import Coordination
package import Ledger
package import Logging
import Pipeline
import Synchronization

/// The loop that turns events into runs, sends what is ready, takes results, and puts right what was lost.
///
/// It keeps nothing that matters between two transactions, so any number may run at once and each may be killed at
/// any moment.
package final class Scheduler: Sendable {
    let ledger: Ledger
    let coordinator: Coordinator
    let broker: Broker
    let pipelines: any PipelineSource
    let configuration: SchedulerConfiguration
    let metrics = SchedulerMetrics()
    let logger: Logger
    /// Rung when tasks may have become ready.
    let dispatchBell = Bell()
    /// Rung when leases may have been lost.
    let reconcileBell = Bell()
    let capacity = PoolCapacity()
    /// Tasks on their way from the ledger to the broker.
    let outbox = Mutex<[Ledger.Dispatch]>([])
    let outboxBell = Bell()
    /// Runs whose watchers are to be told.
    let changedRuns = Mutex<Set<RunID>>([])
    let changesBell = Bell()
    private let isRunning = Atomic(false)

    package init(
        ledger: Ledger, coordinator: Coordinator, broker: Broker, pipelines: any PipelineSource,
        configuration: SchedulerConfiguration, logger: Logger
    ) {
        self.ledger = ledger
        self.coordinator = coordinator
        self.broker = broker
        self.pipelines = pipelines
        self.configuration = configuration
        self.logger = logger
    }

    /// Whether what is published to it now has a queue to wait in.
    package var isReady: Bool { isRunning.load(ordering: .relaxed) }

    /// Works until the surrounding task is cancelled. What is in hand then is not acknowledged, and comes again.
    /// - Throws: when the topology cannot be declared as it must be.
    package func run() async throws {
        try await broker.declare()
        isRunning.store(true, ordering: .relaxed)
        logger.notice("scheduler ready")
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.acceptEvents() }
            group.addTask { await self.takeResults() }
            group.addTask { await self.recordDeadLetters() }
            group.addTask { await self.dispatch() }
            group.addTask { await self.sendHandoffs() }
            group.addTask { await self.announceChanges() }
            group.addTask { await self.reconcile() }
            group.addTask { await self.keepSchedules() }
            group.addTask { await self.watchCapacity() }
            group.addTask { await self.listenForReady() }
            group.addTask { await self.listenForLosses() }
            await group.waitForAll()
        }
    }

    /// Repeats `body` until it succeeds; nil when the surrounding task is cancelled first.
    ///
    /// For what must not be given up: a batch whose messages are not acknowledged yet.
    func persist<Value: Sendable>(
        _ what: String, _ body: @Sendable () async throws -> Value
    ) async -> Value? {
        var delay = Duration.milliseconds(100)
        while !Task.isCancelled {
            do {
                return try await body()
            } catch is CancellationError {
                return nil
            } catch {
                metrics.failed(what)
                logger.warning("\(what) failed; trying again", metadata: ["error": "\(error)"])
                do { try await Task.sleep(for: delay * Double.random(in: 0.5..<1)) } catch { return nil }
                delay = min(delay * 2, .seconds(5))
            }
        }
        return nil
    }

    /// Repeats `body` for ever, with a pause after a failure; for what the next round does anyway.
    func repeatForever(_ what: String, _ body: @Sendable () async throws -> Void) async {
        while !Task.isCancelled {
            do {
                try await body()
            } catch is CancellationError {
                return
            } catch {
                metrics.failed(what)
                logger.warning("\(what) failed; trying again", metadata: ["error": "\(error)"])
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
            }
        }
    }
}
