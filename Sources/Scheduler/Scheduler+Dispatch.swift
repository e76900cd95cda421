import Broker
import Coordination
import Ledger
import Logging
import Pipeline

extension Scheduler {
    /// Sends what is ready and due, the most urgent first, never more than the pools' windows.
    func dispatch() async {
        var wait = Duration.seconds(1)
        while !Task.isCancelled {
            await dispatchBell.wait(atMost: wait)
            let sent = await persist("dispatching") { try await self.dispatchOnce() }
            guard let sent else { return }
            if sent > 0 {
                // There may be more than one round's worth.
                dispatchBell.ring()
            } else {
                wait = await untilNextDue()
            }
        }
    }

    /// - Returns: how many tasks were sent.
    private func dispatchOnce() async throws -> Int {
        let demand = try await ledger.poolsWithWork()
        return try await withThrowingTaskGroup(of: Int.self) { group in
            for pool in demand {
                let window = max(
                    configuration.minimumWindow, capacity.slots(of: pool.pool) * configuration.windowFactor)
                let room = min(window - pool.inFlight, configuration.batchSize)
                guard room > 0 else { continue }
                group.addTask { try await self.dispatch(pool: pool.pool, limit: room) }
            }
            return try await group.reduce(0, +)
        }
    }

    private func dispatch(pool: String, limit: Int) async throws -> Int {
        try await broker.declare(pool: pool)
        let sent = try await ledger.dispatch(pool: pool, limit: limit) { dispatches in
            do {
                try await self.coordinator.mirror(dispatches.map { ($0.task, $0.attempt) })
            } catch {
                // Claims repeat what the mirror says; without Redis nobody claims anything.
                self.logger.warning("tasks not mirrored", metadata: ["error": "\(error)"])
            }
            let tasks = dispatches.map { item in
                Broker.Task(
                    id: item.task, pool: pool, attempt: item.attempt, payload: item.payload,
                    traceparent: item.traceparent, tracestate: item.tracestate)
            }
            let unsent = await self.broker.publish(tasks, time: .now, timeout: .seconds(10))
            if let first = unsent.first {
                self.logger.warning(
                    "tasks not confirmed; they stay ready",
                    metadata: ["pool": "\(pool)", "count": "\(unsent.count)", "error": "\(first.error)"])
            }
            return unsent.map(\.task)
        }
        metrics.dispatched(pool: pool, count: sent)
        return sent
    }

    private func untilNextDue() async -> Duration {
        guard let due = try? await ledger.nextDue() else { return .seconds(1) }
        let left = Timestamp.now.duration(to: due)
        return min(max(left, .milliseconds(1)), .seconds(1))
    }

    /// Wakes the dispatcher when another process made tasks ready.
    func listenForReady() async {
        await repeatForever("listening for ready tasks") {
            for try await _ in self.ledger.readyNotifications() { self.dispatchBell.ring() }
            throw StreamEnded()
        }
    }

    /// Keeps the windows in step with the workers that are there.
    func watchCapacity() async {
        await repeatForever("counting workers") {
            var slots: [String: Int] = [:]
            for worker in try await self.coordinator.workers() where worker.state != "draining" {
                slots[worker.pool, default: 0] += worker.slots
            }
            self.capacity.set(slots)
            self.metrics.capacity(slots)
            try await Task.sleep(for: .seconds(1))
        }
    }
}
