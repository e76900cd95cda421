import AMQPClient
import Broker
import Coordination
import Logging
import Pipeline
import Synchronization
import Telemetry

/// Takes tasks from one pool's queue and runs up to `slots` of them at a time, until it is told to drain.
package final class Worker: Sendable {
    package let configuration: WorkerConfiguration
    private let services: WorkerServices
    private let metrics: WorkerMetrics
    private let drainSignal = DrainSignal()
    private let ticker = Ticker()
    private let calls: WorkerCalls
    private let slots: SlotTable
    private let startedAt = Timestamp.now
    /// Begins every claim token, so that a new process can tell its claims from those of the one before it.
    private let instance: String
    private let isConsuming = Atomic(false)
    private let logger: Logger

    package init(configuration: WorkerConfiguration, services: WorkerServices) {
        self.configuration = configuration
        self.services = services
        metrics = WorkerMetrics(pool: configuration.pool)
        slots = SlotTable(count: configuration.slots)
        var generator = SystemRandomNumberGenerator()
        instance = Self.randomWord(using: &generator)
        var logger = services.logger
        logger[metadataKey: "pool"] = "\(configuration.pool)"
        logger[metadataKey: "worker"] = "\(configuration.id)"
        self.logger = logger
        calls = WorkerCalls(services: services, configuration: configuration, logger: logger)
    }

    /// Takes no more tasks, lets those that run end or save themselves within the grace period, and lets `run()` return.
    package func drain() {
        drainSignal.set()
    }

    package var isReady: Bool { isConsuming.load(ordering: .relaxed) && !drainSignal.isSet }
    package var isDraining: Bool { drainSignal.isSet }

    /// Works until ``drain()``; returns when every task has ended and is settled.
    package func run() async throws {
        await takeOver()
        try await services.broker.declare(pool: configuration.pool)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.keepRegistered() }
            group.addTask { await self.ticker.run() }
            await self.consume()
            group.cancelAll()
        }
        await unregister()
    }

    // MARK: Consuming

    private func consume() async {
        await withDiscardingTaskGroup { tasks in
            while !drainSignal.isSet, !Task.isCancelled {
                let free = await slots.waitForFree(or: drainSignal)
                guard free > 0 else { break }
                slots.subscribe()
                let consumer = services.broker.tasks(pool: configuration.pool, prefetch: UInt16(clamping: free))
                if !isConsuming.exchange(true, ordering: .relaxed) {
                    logger.info("taking tasks", metadata: ["slots": "\(configuration.slots)"])
                }
                let isBroken = await take(from: consumer, in: &tasks)
                await consumer.cancel(requeueBuffered: true)
                slots.unsubscribe()
                if isBroken { await repair() }
            }
            isConsuming.store(false, ordering: .relaxed)
            logger.info("draining", metadata: ["busy": "\(slots.busy)"])
        }
    }

    /// Starts what the subscription delivers, until another is needed.
    /// - Returns: whether it ended by itself.
    private func take(from consumer: AMQPConsumer, in tasks: inout DiscardingTaskGroup) async -> Bool {
        // Unstructured, and over when this returns: cancelling the subscription is what ends a wait for deliveries. A
        // group around every wait would cost each delivery four tasks.
        let watch = Task {
            await slots.waitUntilStale(or: drainSignal)
            await consumer.cancel(requeueBuffered: true)
        }
        let isBroken = await startAll(from: consumer, in: &tasks)
        watch.cancel()
        await watch.value
        return isBroken
    }

    private func startAll(from consumer: AMQPConsumer, in tasks: inout DiscardingTaskGroup) async -> Bool {
        while !drainSignal.isSet, !slots.isStale {
            do {
                let batch = try await consumer.nextBatch(max: 256)
                for delivery in batch { start(delivery, in: &tasks) }
                // Cancelled, by the watch or by the broker.
                if batch.isEmpty { return !drainSignal.isSet && !slots.isStale }
            } catch is CancellationError {
                return false
            } catch {
                logger.warning("subscription ended; subscribing again", metadata: ["error": "\(error)"])
                return true
            }
        }
        return false
    }

    /// Declares the queue again, which may be gone.
    private func repair() async {
        do {
            try await Task.sleep(for: .seconds(1))
            try await services.broker.redeclare(pool: configuration.pool)
        } catch {
            logger.warning("queue not declared", metadata: ["error": "\(error)"])
        }
    }

    private func start(_ delivery: AMQPDelivery, in tasks: inout DiscardingTaskGroup) {
        guard let execution = execution(for: delivery) else { return }
        guard let slot = slots.take(execution.payload.task) else {
            // After a reconnection the broker sends again what is still at work here, and more in its place.
            delivery.nack(requeue: true)
            return
        }
        tasks.addTask {
            // Every line that is logged for the attempt carries its ids, also by the clients that it calls.
            await TraceContext.$current.withValue(execution.trace) {
                await execution.run { await self.slots.release(prefetchOf: slot) }
            }
            self.slots.give(back: slot)
        }
    }

    private func execution(for delivery: AMQPDelivery) -> TaskExecution? {
        do {
            let event = try Envelope.decode(TaskPayload.self, from: delivery.message, types: [MessageType.task])
            guard let payload = event.data, let attempt = event.attempt else {
                throw StageFailure(.poison, "task.undecodable", "the message has no attempt or no data")
            }
            var generator = SystemRandomNumberGenerator()
            let token = ClaimToken(instance + "." + Self.randomWord(using: &generator))
            var logger = logger
            logger[metadataKey: "run"] = "\(payload.run)"
            logger[metadataKey: "stage"] = "\(payload.stage)"
            logger[metadataKey: "attempt"] = "\(attempt)"
            let trace = TraceContext.received(traceparent: event.traceparent, tracestate: event.tracestate)
            return TaskExecution(
                services: services, configuration: configuration, metrics: metrics, drain: drainSignal, ticker: ticker,
                calls: calls, delivery: delivery, event: event, payload: payload, attempt: attempt, token: token,
                trace: trace.child(), logger: logger)
        } catch {
            // To the dead letters, where people find it with its bytes.
            logger.error("message is no task; dead-lettered", metadata: ["error": "\(error)"])
            metrics.undecodable()
            delivery.reject(requeue: false)
            return nil
        }
    }

    // MARK: Registry

    private func record(state: String) -> Coordinator.WorkerRecord {
        let tasks = slots.tasks
        return Coordinator.WorkerRecord(
            id: configuration.id, pool: configuration.pool, host: configuration.host,
            processID: Int(ProcessID.current), slots: configuration.slots, busy: tasks.count, state: state,
            startedAt: startedAt, tasks: tasks.map(\.description))
    }

    private func keepRegistered() async {
        while !Task.isCancelled {
            let state = drainSignal.isSet ? "draining" : isReady ? "ready" : "starting"
            metrics.slots(configuration.slots, busy: slots.busy)
            do {
                try await services.coordinator.register(
                    record(state: state), now: .now, lifetime: configuration.heartbeat * 3)
            } catch {
                logger.debug("not registered; trying again", metadata: ["error": "\(error)"])
            }
            // A change is told within a second, silence within a heartbeat.
            let revision = slots.revision
            for _ in 0..<max(1, Int(configuration.heartbeat / .seconds(1))) {
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
                if slots.revision != revision || drainSignal.isSet && state != "draining" { break }
                if isReady && state == "starting" { break }
            }
        }
    }

    /// Drops the leases of the process that had this name before.
    private func takeOver() async {
        do {
            let released = try await services.coordinator.release(worker: configuration.id, keepingInstance: instance)
            if !released.isEmpty {
                logger.notice("leases of the process before this one dropped", metadata: ["tasks": "\(released)"])
            }
        } catch {
            logger.warning("leases of the process before this one not dropped", metadata: ["error": "\(error)"])
        }
    }

    private func unregister() async {
        do {
            try await services.coordinator.unregister(worker: configuration.id)
        } catch {
            logger.debug("not unregistered; the entry runs out by itself", metadata: ["error": "\(error)"])
        }
    }

    /// Sixty-four random bits in Crockford's base 32, without its upper case.
    private static func randomWord(using generator: inout some RandomNumberGenerator) -> String {
        let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz")
        let value = generator.next() as UInt64
        return String((0..<13).map { alphabet[Int(value >> UInt64($0 * 5) & 31)] })
    }
}
