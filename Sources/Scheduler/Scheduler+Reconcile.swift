import Broker
import Coordination
import Ledger
import Logging
import Pipeline

extension Scheduler {
    /// Compares ledger, leases and queues, and sends again only what is really gone.
    func reconcile() async {
        let memory = ReconcileMemory()
        while !Task.isCancelled {
            await reconcileBell.wait(atMost: configuration.reconcileInterval)
            do {
                _ = try await ledger.asLeader { try await self.reconcileOnce(memory) }
            } catch is CancellationError {
                return
            } catch {
                metrics.failed("reconciling")
                logger.warning("reconciling failed; the next round does it", metadata: ["error": "\(error)"])
            }
        }
    }

    private func reconcileOnce(_ memory: ReconcileMemory) async throws {
        let stuck = try await ledger.stuckRuns()
        if !stuck.isEmpty { await follow(try await ledger.settle(stuck)) }
        let rows = try await ledger.inFlight(olderThan: .zero, limit: 5_000)
        let standings = try await coordinator.standings(of: rows.map(\.task))
        var waiting: [String: Int] = [:]
        for pool in Set(rows.map(\.pool)) { waiting[pool] = try await broker.waitingTasks(pool: pool) ?? 0 }
        let resultsWaiting = try await broker.waitingResults()
        let plan = ReconcilePlan(
            tasks: zip(rows, standings).map { ReconcilePlan.Task(row: $0, standing: $1) }, waiting: waiting,
            resultsWaiting: resultsWaiting, grace: configuration.dispatchGrace, lease: configuration.lease,
            memory: memory.value, now: .now)
        memory.value = plan.memory
        if !plan.lost.isEmpty {
            for loss in plan.lost {
                logger.notice(
                    "lease gone; sending the next attempt",
                    metadata: ["task": "\(loss.task)", "attempt": "\(loss.attempt)"])
            }
            let applied = try await ledger.applyLosses(plan.lost)
            await follow(applied)
            await announce(plan.lost.map(\.task.run))
        }
        if !plan.sendAgain.isEmpty {
            let count = try await ledger.sendAgain(plan.sendAgain)
            metrics.sentAgain(count)
            logger.notice("messages gone; sending them again", metadata: ["count": "\(count)"])
            dispatchBell.ring()
        }
    }

    /// Wakes the reconciler when a worker's leases were dropped.
    func listenForLosses() async {
        await repeatForever("listening for lost leases") {
            for try await _ in self.coordinator.wakeUps() { self.reconcileBell.ring() }
            throw CancellationError()
        }
    }
}
