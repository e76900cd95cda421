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
                metrics.backlog(try await ledger.demand())
                _ = try await ledger.asLeader(of: .reconciling) { try await self.reconcileOnce(memory) }
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
        let standings: [Coordinator.LeaseState]
        do {
            standings = try await coordinator.standings(of: rows.map(\.task))
            try await stopCancelled()
        } catch {
            memory.value.blindAt = .now
            throw error
        }
        memory.value.looked(.now, interval: configuration.reconcileInterval, lease: configuration.lease)
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
            announce(plan.lost.map(\.task.run))
        }
        if !plan.sendAgain.isEmpty {
            // A cancel flag of a run that is alive would have every claim refused.
            for run in Set(plan.sendAgain.map(\.task.run)) { try await coordinator.clearCancelled(run) }
            let count = try await ledger.sendAgain(plan.sendAgain)
            metrics.sentAgain(count)
            logger.notice("messages gone; sending them again", metadata: ["count": "\(count)"])
            dispatchBell.ring()
        }
    }

    /// Flags cancelled runs that workers are still at: Redis may have been away when the run was cancelled, or may have
    /// lost the flag since.
    private func stopCancelled() async throws {
        let tasks = try await coordinator.workers().flatMap(\.tasks)
        let runs = Set(tasks.compactMap { $0.split(separator: "/").first.map { RunID(String($0)) } })
        guard !runs.isEmpty else { return }
        let cancelled = try await ledger.cancelled(among: runs)
        for run in cancelled { try await coordinator.setCancelled(run) }
        // Somebody may have started a run again in between.
        let still = try await ledger.cancelled(among: cancelled)
        for run in Set(cancelled).subtracting(still) { try await coordinator.clearCancelled(run) }
    }

    /// Wakes the reconciler when a worker's leases were dropped.
    func listenForLosses() async {
        await repeatForever("listening for lost leases") {
            for try await _ in self.coordinator.wakeUps() { self.reconcileBell.ring() }
            throw StreamEnded()
        }
    }
}
