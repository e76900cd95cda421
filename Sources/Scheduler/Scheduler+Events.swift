import AMQPClient
import Broker
import Ledger
import Logging
import Pipeline
import Telemetry

extension Scheduler {
    /// Accepts events: deduplicates, inserts runs and their first tasks, commits, and only then acknowledges.
    func acceptEvents() async {
        await consume(
            "taking events", max: configuration.eventBatch,
            from: { self.broker.events(prefetch: UInt16(clamping: self.configuration.eventBatch * 2)) },
            handle: { for part in $0.parts() { await self.accept(part) } })
    }

    private func accept(_ batch: ArraySlice<AMQPDelivery>) async {
        guard let known = await persist("reading the pipelines", { try await self.pipelines.pipelines() }) else {
            return
        }
        var accepted: [(delivery: AMQPDelivery, run: NewRun)] = []
        var refused: [(delivery: AMQPDelivery, letter: NewDeadLetter)] = []
        // What is too large is on its way to the dead letters by the client's hand, and is recorded there.
        for delivery in batch where !delivery.isOversized {
            do {
                accepted.append((delivery, try Self.run(for: delivery, pipelines: known)))
            } catch {
                refused.append((delivery, NewDeadLetter(delivery, queue: Topology.eventsQueue, reason: "\(error)")))
            }
        }
        await write(accepted, refused)
    }

    private func write(
        _ accepted: [(delivery: AMQPDelivery, run: NewRun)],
        _ refused: [(delivery: AMQPDelivery, letter: NewDeadLetter)]
    ) async {
        guard !accepted.isEmpty || !refused.isEmpty else { return }
        let runs = accepted.map(\.run)
        let letters = refused.map(\.letter)
        let outcome = await persist("accepting events") { () -> Result<Ledger.Accepted, IsolatedError> in
            let grants = Grants(self.capacity)
            do {
                return .success(try await self.ledger.accept(runs, deadLetters: letters, grant: grants.grant))
            } catch {
                grants.revoke(atMost: self.window)
                guard IsolatedError.isTheBatchsFault(error) else { throw error }
                return .failure(IsolatedError(error))
            }
        }
        switch outcome {
        case .success(let result):
            handOn(result.handoffs)
            for delivery in accepted.map(\.delivery) + refused.map(\.delivery) { delivery.ack() }
            metrics.events(
                accepted: result.newRuns.count, duplicates: runs.count - result.newRuns.count, refused: letters.count)
            for letter in letters {
                metrics.deadLetter(queue: letter.queue)
                logger.error("event refused; kept as a dead letter", metadata: ["reason": "\(letter.reason)"])
            }
            for run in runs where result.newRuns.contains(run.id) {
                logger.info("run begun", metadata: run.logMetadata)
            }
            if !result.readyPools.isEmpty { dispatchBell.ring() }
        case .failure(let error):
            // Something in the batch cannot be stored: one by one, so that the others do not suffer.
            if accepted.count + refused.count == 1 {
                guard let (delivery, _) = accepted.first else {
                    refused.first?.delivery.reject(requeue: false)
                    return
                }
                let letter = NewDeadLetter(
                    delivery, queue: Topology.eventsQueue, reason: "the event cannot be stored: \(error)")
                await write([], [(delivery, letter)])
                return
            }
            for item in accepted { await write([item], []) }
            for item in refused { await write([], [item]) }
        case nil: return
        }
    }

    private static func run(
        for delivery: AMQPDelivery, pipelines: [String: PipelineEntry]
    ) throws -> NewRun {
        let event = try Envelope.decode(
            DataAvailable.self, from: delivery.message, types: [MessageType.dataAvailable])
        guard let data = event.data else { throw RefusedEvent("there is no data") }
        guard let entry = pipelines[data.pipeline] else {
            let names = pipelines.keys.sorted().joined(separator: ", ")
            throw RefusedEvent(
                "there is no pipeline \"\(data.pipeline.prefix(80))\"; there are \(names.isEmpty ? "none" : names)")
        }
        let priority = data.priority ?? entry.spec.priority
        guard PipelineSpec.priorityBounds.contains(priority) else {
            throw RefusedEvent(
                "data.priority is \(priority); use \(PipelineSpec.priorityBounds.lowerBound) to \(PipelineSpec.priorityBounds.upperBound)"
            )
        }
        return try NewRun(
            entry: entry, overrides: data.parameters ?? [:], priority: priority, source: event.source, id: event.id,
            traceparent: event.traceparent, tracestate: event.tracestate)
    }
}

/// Why an event is not accepted.
struct RefusedEvent: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

extension NewRun {
    /// Resolves the parameters and fills every stage's, so that what is wrong shows now and not in mid-run.
    init(
        entry: PipelineEntry, overrides: [String: JSONValue], priority: Int, source: String, id eventID: String,
        traceparent: String?, tracestate: String?
    ) throws {
        let parameters = try RunParameters.resolve(declared: entry.spec.parameters, overrides: overrides)
        var generator = SystemRandomNumberGenerator()
        let id = RunID(at: .now, using: &generator)
        let values = ParameterScope.values(
            parameters: parameters, run: id, pipeline: entry.spec.name, eventSource: source, eventID: eventID)
        for stage in entry.spec.stages {
            do {
                _ = try ParameterTemplate.fill(stage.parameters, with: values)
            } catch {
                throw RefusedEvent("stage \(stage.name): \(error)")
            }
        }
        // A run without a trace begins one, so that its lines in all logs can be found together.
        let trace = TraceContext.received(traceparent: traceparent, tracestate: tracestate)
        self.init(
            id: id, pipeline: entry.spec, pipelineDigest: entry.digest, parameters: parameters, priority: priority,
            eventSource: source, eventID: eventID, traceparent: trace.traceparent, tracestate: trace.tracestate)
    }

    /// What a log line about the run's begin carries; the other lines about it carry the run alone.
    var logMetadata: Logger.Metadata {
        let trace = traceparent.flatMap { TraceContext(traceparent: $0) }
        return [
            LogKey.run: "\(id)", LogKey.pipeline: "\(pipeline.name)", LogKey.event: "\(eventID)",
            LogKey.traceID: "\(trace?.traceID.description ?? "none")",
        ]
    }
}
