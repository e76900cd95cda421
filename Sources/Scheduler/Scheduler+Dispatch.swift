import AMQPClient
import Broker
import Coordination
import Ledger
import Logging
import Pipeline
import Synchronization

extension Scheduler {
    /// Sends what is ready and due, the most urgent first, never more than the pools' windows.
    func dispatch() async {
        var wait = Duration.seconds(1)
        while !Task.isCancelled {
            await dispatchBell.wait(atMost: wait)
            guard let round = await persist("dispatching", { try await self.dispatchOnce() }) else { return }
            wait = .seconds(1)
            if round.sent > 0 {
                // There may be more than one round's worth.
                dispatchBell.ring()
            } else if !round.hasWork {
                wait = await untilNextDue()
            }
        }
    }

    private struct Round {
        var sent = 0
        /// Tasks are due, whether or not there was room for them: no need to ask when the next one is.
        var hasWork = false
    }

    private func dispatchOnce() async throws -> Round {
        let demand = try await ledger.poolsWithWork()
        let sent = await withTaskGroup(of: Int.self) { group in
            for pool in demand {
                let window = max(
                    configuration.minimumWindow, capacity.slots(of: pool.pool) * configuration.windowFactor)
                let room = min(window - pool.inFlight, configuration.dispatchBatch)
                guard room > 0 else { continue }
                group.addTask { await self.dispatch(pool: pool.pool, limit: room) }
            }
            return await group.reduce(0, +)
        }
        return Round(sent: sent, hasWork: !demand.isEmpty)
    }

    /// - Returns: how many tasks were sent. A fault of one pool is its own: the others go on.
    private func dispatch(pool: String, limit: Int) async -> Int {
        let unsendable = Mutex<[(task: TaskID, attempt: Int, error: AMQPError)]>([])
        do {
            try await broker.declare(pool: pool)
            let sent = try await ledger.dispatch(pool: pool, limit: limit) { dispatches in
                let unsent = await self.send(dispatches, to: pool)
                let attempts = Dictionary(
                    dispatches.map { ($0.task, $0.attempt) }, uniquingKeysWith: { first, _ in first })
                unsendable.withLock { list in
                    list = unsent.compactMap { item in
                        guard item.error.code == .messageTooLarge || item.error.code == .invalidMessage else {
                            return nil
                        }
                        return (item.task, attempts[item.task] ?? 0, item.error)
                    }
                }
                return unsent.map(\.task)
            }
            try await giveUp(unsendable.withLock(\.self))
            metrics.dispatched(pool: pool, count: sent)
            return sent
        } catch is CancellationError {
            return 0
        } catch {
            metrics.failed("dispatching")
            logger.warning("tasks not dispatched", metadata: ["pool": "\(pool)", "error": "\(error)"])
            return 0
        }
    }

    /// - Returns: what the broker did not take.
    private func send(_ dispatches: [Ledger.Dispatch], to pool: String) async -> [(task: TaskID, error: AMQPError)] {
        do {
            try await coordinator.mirror(dispatches.map { ($0.task, $0.attempt) })
        } catch {
            // Claims repeat what the mirror says; without Redis nobody claims anything.
            logger.warning("tasks not mirrored", metadata: ["error": "\(error)"])
        }
        let tasks = dispatches.map { item in
            Broker.Task(
                id: item.task, pool: pool, attempt: item.attempt, payload: item.payload,
                traceparent: item.traceparent, tracestate: item.tracestate)
        }
        let unsent = await broker.publish(tasks, time: .now, timeout: .seconds(10))
        if let first = unsent.first {
            logger.warning(
                "tasks not confirmed; they stay ready",
                metadata: ["pool": "\(pool)", "count": "\(unsent.count)", "error": "\(first.error)"])
        }
        return unsent
    }

    /// Ends attempts whose message can never be sent; they would be the first in the queue for ever.
    private func giveUp(_ unsendable: [(task: TaskID, attempt: Int, error: AMQPError)]) async throws {
        let results = unsendable.map { item in
            Self.poisoned(
                item.task, attempt: item.attempt, code: "task.unsendable",
                message: "the task cannot be sent: \(item.error)")
        }
        guard !results.isEmpty else { return }
        await follow(try await ledger.apply(results))
        await announce(results.map(\.task.run))
    }

    /// The end of an attempt that no worker can begin.
    static func poisoned(_ task: TaskID, attempt: Int, code: String, message: String) -> TaskResult {
        TaskResult(
            task: task, attempt: attempt, token: ClaimToken("scheduler"), worker: "scheduler", outcome: .failed,
            failure: Failure(class: .poison, code: code, message: message), startedAt: .now, finishedAt: .now)
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
