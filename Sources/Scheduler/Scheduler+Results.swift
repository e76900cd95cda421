import AMQPClient
import Broker
import Coordination
import Ledger
import Logging
import Pipeline
import Synchronization

extension Scheduler {
    /// Takes results: the first that the ledger accepts for an attempt wins.
    func takeResults() async {
        await consume(
            "taking results", max: configuration.resultBatch,
            from: { self.broker.results(prefetch: UInt16(clamping: self.configuration.resultBatch * 2)) },
            handle: { for part in $0.parts() { await self.take(part) } })
    }

    private func take(_ batch: ArraySlice<AMQPDelivery>) async {
        var results: [Taken<TaskResult>] = []
        var started: [Taken<TaskStarted>] = []
        var refused: [Taken<NewDeadLetter>] = []
        // What is too large is on its way to the dead letters by the client's hand, and is recorded there.
        for delivery in batch where !delivery.isOversized {
            do {
                if Envelope.type(of: delivery.message) == MessageType.taskStarted {
                    let event = try Envelope.decode(
                        TaskStarted.self, from: delivery.message, types: [MessageType.taskStarted])
                    if let data = event.data { started.append(Taken(data, of: Settlement(delivery))) }
                } else {
                    let events = try Envelope.decodeAll(
                        TaskResult.self, from: delivery.message, types: [MessageType.taskResult])
                    let readable = events.compactMap { try? $0.get().data }
                    let reason = Self.reason(for: events)
                    let settlement = Settlement(delivery, parts: readable.count + (reason == nil ? 0 : 1))
                    results += readable.map { Taken($0, of: settlement) }
                    if let reason { refused.append(Self.refusal(of: settlement, reason)) }
                }
            } catch {
                refused.append(Self.refusal(of: Settlement(delivery), "\(error)"))
            }
        }
        await keep(refused)
        await note(started)
        for start in stride(from: 0, to: results.count, by: configuration.resultBatch) {
            await apply(Array(results[start..<min(start + configuration.resultBatch, results.count)]))
        }
    }

    /// Why a message goes to the dead letters, as a whole and once, however many of its events cannot be read; nil when
    /// all can.
    private static func reason(for events: [Result<CloudEvent<TaskResult>, EnvelopeError>]) -> String? {
        let errors = events.compactMap { event in
            if case .failure(let error) = event { error } else { nil }
        }
        guard !errors.isEmpty else { return nil }
        let named = errors.prefix(3).map(\.description).joined(separator: "; ")
        return errors.count > 3 ? named + "; and \(errors.count - 3) more" : named
    }

    /// Something out of a message, settled once it is stored.
    private struct Taken<Value: Sendable>: Sendable {
        var value: Value
        /// Nil for what did not come in a message.
        let settlement: Settlement?

        init(_ value: Value, of settlement: Settlement?) {
            self.value = value
            self.settlement = settlement
        }
    }

    private static func refusal(of settlement: Settlement, _ reason: String) -> Taken<NewDeadLetter> {
        Taken(NewDeadLetter(settlement.delivery, queue: Topology.resultsQueue, reason: reason), of: settlement)
    }

    private func note(_ batch: [Taken<TaskStarted>]) async {
        guard !batch.isEmpty else { return }
        let values = batch.map(\.value)
        let outcome = await persist("noting starts") { () -> Result<Void, IsolatedError> in
            do {
                return .success(try await self.ledger.markStarted(values))
            } catch let error where IsolatedError.isTheBatchsFault(error) {
                return .failure(IsolatedError(error))
            }
        }
        switch outcome {
        case .success:
            for item in batch { item.settlement?.settle() }
            announce(values.map(\.task.run))
        case .failure(let error):
            guard batch.count == 1 else {
                for item in batch { await note([item]) }
                return
            }
            guard let settlement = batch[0].settlement else { return }
            await keep([Self.refusal(of: settlement, "the start of an attempt cannot be stored: \(error)")])
        case nil: return
        }
    }

    private func apply(_ batch: [Taken<TaskResult>], isLastResort: Bool = false) async {
        guard !batch.isEmpty else { return }
        let results = batch.map(\.value)
        let outcome = await persist("applying results") { () -> Result<Ledger.Applied, IsolatedError> in
            let grants = Grants(self.capacity)
            do {
                return .success(try await self.ledger.apply(results, grant: grants.grant))
            } catch {
                grants.revoke(atMost: self.window)
                guard IsolatedError.isTheBatchsFault(error) else { throw error }
                return .failure(IsolatedError(error))
            }
        }
        switch outcome {
        case .success(let applied):
            for item in batch { item.settlement?.settle() }
            await follow(applied)
            metrics.results(accepted: applied.accepted, dropped: applied.dropped.count)
            for task in applied.dropped {
                logger.notice("late or repeated result dropped", metadata: ["task": "\(task)"])
            }
            announce(results.map(\.task.run))
        case .failure(let error):
            guard batch.count == 1 else {
                for item in batch { await apply([item]) }
                return
            }
            guard !isLastResort else {
                guard let settlement = batch[0].settlement else { return }
                await keep([Self.refusal(of: settlement, "the result cannot be stored: \(error)")])
                return
            }
            // The task must not hang on a result that cannot be stored.
            var item = batch[0]
            logger.error("result cannot be stored", metadata: ["task": "\(item.value.task)", "error": "\(error)"])
            item.value.outcome = .failed
            item.value.output = nil
            item.value.failure = Failure(
                class: .permanent, code: "scheduler.result_refused",
                message: "the ledger cannot store the stage's result: \(error)".replacing("\0", with: ""))
            await apply([item], isLastResort: true)
        case nil: return
        }
    }

    /// What follows from a change in the ledger: dispatch, cancel flags, metrics.
    func follow(_ applied: Ledger.Applied) async {
        handOn(applied.handoffs)
        for (pool, count) in applied.endedPools { capacity.give(back: count, to: pool, atMost: window(of: pool)) }
        // An end of an attempt leaves room in its pool's window, even when it makes nothing ready.
        let hasWaiting = applied.endedPools.keys.contains { !capacity.hasCredit($0) }
        if hasWaiting || !applied.readyPools.isEmpty { dispatchBell.ring() }
        for (task, failure) in applied.failures {
            metrics.attemptFailed(failure.class)
            logger.notice(
                "attempt failed",
                metadata: [
                    "run": "\(task.run)", "stage": "\(task.stage)", "class": "\(failure.class.rawValue)",
                    "code": "\(failure.code)", "error": "\(failure.message)",
                ])
        }
        metrics.runsFinished(applied.finishedRuns.values)
        for (run, state) in applied.finishedRuns {
            logger.info("run ended", metadata: ["run": "\(run)", "state": "\(state.rawValue)"])
        }
    }

    /// Tells those who watch the runs, soon and not once for every step.
    func announce(_ runs: [RunID]) {
        changedRuns.withLock { $0.formUnion(runs) }
        changesBell.ring()
    }

    func announceChanges() async {
        while !Task.isCancelled {
            await changesBell.wait()
            let runs = changedRuns.withLock { runs in
                defer { runs = [] }
                return runs
            }
            do {
                try await coordinator.announce(runs)
                try await Task.sleep(for: .milliseconds(50))
            } catch is CancellationError {
                return
            } catch {
                // For those who watch; they look for themselves every second as well.
                logger.debug("change not announced", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Keeps what the broker dead-lettered, with its bytes.
    func recordDeadLetters() async {
        await consume(
            "taking dead letters", max: 32, from: { self.broker.deadLetters(prefetch: 32) },
            handle: { await self.record($0) })
    }

    private func record(_ batch: [AMQPDelivery]) async {
        let letters = batch.map { delivery in
            let death = delivery.message.headers
            let queue = death["x-first-death-queue"]?.string ?? Topology.deadQueue
            let reason = death["x-first-death-reason"]?.string ?? "unknown"
            let letter = NewDeadLetter(delivery, queue: queue, reason: Self.explain(reason, of: delivery))
            return Taken(letter, of: Settlement(delivery))
        }
        await endUnreadable(batch)
        await keep(letters)
    }

    /// Ends the attempts whose messages no worker could read or settle; the reconciler would send them again for ever.
    private func endUnreadable(_ batch: [AMQPDelivery]) async {
        let results = batch.compactMap { delivery -> TaskResult? in
            let headers = delivery.message.headers
            guard let queue = headers["x-first-death-queue"]?.string, queue.hasPrefix(Topology.tasks + "."),
                let reason = headers["x-first-death-reason"]?.string,
                reason == "rejected" || reason == "delivery_limit",
                let (task, attempt) = delivery.message.messageID.flatMap(Broker.Task.parse(messageID:))
            else { return nil }
            return Self.poisoned(
                task, attempt: attempt, code: "task.undeliverable",
                message: "the task's message is among the dead letters: " + Self.explain(reason, of: delivery))
        }
        await apply(results.map { Taken($0, of: nil) })
    }

    /// Writes dead letters and then acknowledges what they were made of.
    private func keep(_ refused: [Taken<NewDeadLetter>]) async {
        let letters = refused.map(\.value)
        guard !letters.isEmpty,
            await persist("keeping dead letters", { try await self.ledger.accept([], deadLetters: letters) }) != nil
        else { return }
        for item in refused { item.settlement?.settle() }
        for letter in letters {
            metrics.deadLetter(queue: letter.queue)
            logger.error(
                "message refused; kept as a dead letter",
                metadata: ["queue": "\(letter.queue)", "reason": "\(letter.reason)"])
        }
    }

    private static func explain(_ reason: String, of delivery: AMQPDelivery) -> String {
        switch reason {
        case _ where delivery.isOversized:
            "the message has \(delivery.bodySize) bytes, more than is taken: put the data where it can be fetched from "
                + "and send its address"
        case "rejected":
            "a consumer could not read the message (\(delivery.bodySize) bytes): it is no message of Martlet's"
        case "delivery_limit": "the message was delivered \(Topology.deliveryLimit) times and never settled"
        case "expired": "the message expired"
        default: "dead-lettered by the broker: \(reason)"
        }
    }
}
