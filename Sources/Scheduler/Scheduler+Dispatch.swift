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
            let isRung = await dispatchBell.wait(atMost: wait)
            guard let hasMore = await persist("dispatching", { try await self.dispatchOnce() }) else { return }
            wait = .seconds(1)
            switch hasMore {
            case true?: dispatchBell.ring()
            case false?:
                // Room comes task by task while there is a backlog; a little later there is room for several.
                do { try await Task.sleep(for: configuration.linger) } catch { return }
            // Nothing is due: when will something be? Not asked while there is traffic, which rings again.
            case nil: wait = isRung ? .milliseconds(100) : await untilNextDue()
            }
        }
    }

    /// - Returns: whether there may be more that could be sent now; nil when nothing was due.
    private func dispatchOnce() async throws -> Bool? {
        let demand = try await ledger.poolsWithWork()
        guard !demand.isEmpty else { return nil }
        return await withTaskGroup(of: Bool.self) { group in
            for pool in demand {
                let room = window(of: pool.pool) - pool.inFlight
                let limit = min(room, configuration.dispatchBatch)
                // Something waits, so nothing may overtake it.
                capacity.setCredit(0, of: pool.pool)
                guard limit > 0 else { continue }
                group.addTask {
                    // Otherwise something still waits, which nothing may overtake.
                    guard let sent = await self.dispatch(pool: pool.pool, limit: limit) else { return false }
                    if sent < limit { self.capacity.setCredit(room - sent, of: pool.pool) }
                    return sent == limit
                }
            }
            return await group.reduce(false) { $0 || $1 }
        }
    }

    func window(of pool: String) -> Int {
        max(configuration.minimumWindow, capacity.slots(of: pool) * configuration.windowFactor)
    }

    /// - Returns: how many tasks were sent; nil when some could not be and wait again. A fault of one pool is its own: the others go on.
    private func dispatch(pool: String, limit: Int) async -> Int? {
        let unsendable = Mutex<[(task: TaskID, attempt: Int, error: AMQPError)]>([])
        let left = Atomic(0)
        do {
            try await broker.declare(pool: pool)
            let sent = try await ledger.dispatch(pool: pool, limit: limit) { dispatches in
                let unsent = await self.send(dispatches, to: pool)
                let dead = Self.unsendable(unsent, of: dispatches)
                unsendable.withLock { $0 = dead }
                left.store(unsent.count - dead.count, ordering: .relaxed)
                return unsent.map(\.task)
            }
            try await giveUp(unsendable.withLock(\.self))
            metrics.dispatched(pool: pool, count: sent)
            return left.load(ordering: .relaxed) > 0 ? nil : sent
        } catch is CancellationError {
            return nil
        } catch {
            metrics.failed("dispatching")
            logger.warning("tasks not dispatched", metadata: ["pool": "\(pool)", "error": "\(error)"])
            return nil
        }
    }

    /// Those that no broker will ever take.
    private static func unsendable(
        _ unsent: [(task: TaskID, error: AMQPError)], of dispatches: [Ledger.Dispatch]
    ) -> [(task: TaskID, attempt: Int, error: AMQPError)] {
        unsent.compactMap { item in
            guard item.error.code == .messageTooLarge || item.error.code == .invalidMessage,
                let attempt = dispatches.first(where: { $0.task == item.task })?.attempt
            else { return nil }
            return (item.task, attempt, item.error)
        }
    }

    // MARK: Handing on

    /// Sends what a transaction has dispatched, beside whatever comes next.
    func handOn(_ dispatches: [Ledger.Dispatch]) {
        guard !dispatches.isEmpty else { return }
        outbox.withLock { $0 += dispatches }
        outboxBell.ring()
    }

    func sendHandoffs() async {
        await withDiscardingTaskGroup { group in
            while true {
                await outboxBell.wait()
                let dispatches = outbox.withLock { outbox in
                    defer { outbox = [] }
                    return outbox
                }
                // Unstructured: a scheduler that stops still sends what its last transaction dispatched.
                if !dispatches.isEmpty {
                    let work = Task { await self.sendNow(dispatches) }
                    group.addTask { await work.value }
                }
                if Task.isCancelled { return }
            }
        }
    }

    /// Not within a transaction: what is lost here, for example with this process, is found by the reconciler.
    private func sendNow(_ dispatches: [Ledger.Dispatch]) async {
        for (pool, dispatches) in Dictionary(grouping: dispatches, by: \.pool) {
            var unsent = dispatches.map(\.task)
            do {
                try await broker.declare(pool: pool)
                let failed = await send(dispatches, to: pool)
                unsent = failed.map(\.task)
                metrics.dispatched(pool: pool, count: dispatches.count - unsent.count)
                guard !unsent.isEmpty else { continue }
                capacity.setCredit(0, of: pool)
                try await ledger.giveBack(unsent)
                try await giveUp(Self.unsendable(failed, of: dispatches))
            } catch {
                metrics.failed("dispatching")
                logger.warning(
                    "tasks not sent; the reconciler finds them",
                    metadata: ["pool": "\(pool)", "count": "\(unsent.count)", "error": "\(error)"])
            }
        }
    }

    /// - Returns: what the broker did not take.
    private func send(_ dispatches: [Ledger.Dispatch], to pool: String) async -> [(task: TaskID, error: AMQPError)] {
        do {
            // A first attempt has no other that Redis could take for it.
            try await coordinator.mirror(dispatches.filter { $0.attempt > 1 }.map { ($0.task, $0.attempt) })
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
        announce(results.map(\.task.run))
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
