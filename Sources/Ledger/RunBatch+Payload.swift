package import Pipeline

extension RunBatch.Run {
    func payload(for stage: StageSpec) throws -> TaskPayload {
        let values = ParameterScope.values(
            parameters: try JSON.decode([String: JSONValue].self, from: storedParameters), run: id, pipeline: spec.name,
            eventSource: eventSource, eventID: eventID)
        var inputs: [String: StageOutput] = [:]
        for need in stage.needs {
            if let index = index(of: need), let output = try tasks[index].output { inputs[need] = output }
        }
        return TaskPayload(
            run: id, pipeline: spec.name, stage: stage.name, kind: stage.kind, pool: stage.pool,
            timeoutSeconds: stage.timeoutSeconds, ackPolicy: stage.ackPolicy, cache: stage.cache,
            parameters: try ParameterTemplate.fill(stage.parameters, with: values), inputs: inputs,
            outcome: stage.condition == .always ? try summary() : nil, generation: generation)
    }

    func summary() throws -> RunSummary {
        let stages = try tasks.map { task in
            RunSummary.Stage(
                name: task.stage, state: task.state, attempts: task.attempt, startedAt: task.startedAt,
                finishedAt: task.finishedAt, output: try task.output, failure: task.failure)
        }
        return RunSummary(state: state, reason: reason, createdAt: createdAt, stages: stages)
    }

    /// Why the run ended as it did, in one sentence.
    func reason(for state: RunState) throws -> String? {
        switch state {
        case .failed:
            guard let task = tasks.first(where: { $0.state == .dead }) else { return nil }
            return "stage \(task.stage) failed: \(task.failure?.message ?? "no cause was recorded")"
        case .rejected:
            guard let task = tasks.first(where: { $0.isRejected }) else { return nil }
            let decision = try task.output?.values[GateDecision.outputKey].flatMap(GateDecision.init(json:))
            return "rejected by the gate of stage \(task.stage)" + (decision.map { ": " + $0.failureSummary } ?? "")
        case .cancelled: return "cancelled"
        case .pending, .running, .succeeded: return nil
        }
    }
}

/// The names that `${…}` may use in a stage's parameters.
package enum ParameterScope {
    /// The run's parameters and the built-ins of ``ParameterTemplate/builtIns``.
    package static func values(
        parameters: [String: JSONValue], run: RunID, pipeline: String, eventSource: String, eventID: String
    ) -> [String: JSONValue] {
        var values = parameters
        values["run.id"] = .string(run.description)
        values["pipeline.name"] = .string(pipeline)
        values["event.source"] = .string(eventSource)
        values["event.id"] = .string(eventID)
        return values
    }
}
