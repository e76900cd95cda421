// How the messages that every task has are written. The same JSON as by `Encodable`, several times as fast.

extension TaskResult {
    package var json: String {
        var text = #"{"task":{"run":"#
        JSONValue.quote(task.run.description, to: &text)
        text += #","stage":"#
        JSONValue.quote(task.stage, to: &text)
        text += #"},"attempt":\#(attempt),"token":"#
        JSONValue.quote(token.description, to: &text)
        text += #","worker":"#
        JSONValue.quote(worker, to: &text)
        text += #","outcome":"\#(outcome.rawValue)""#
        if let output { text += #","output":"# + output.json }
        if let failure { text += #","failure":"# + failure.json }
        text += #","startedAt":"\#(startedAt.precise)","finishedAt":"\#(finishedAt.precise)""#
        if let log {
            text += #","log":"#
            JSONValue.quote(log, to: &text)
        }
        return text + "}"
    }
}

extension TaskPayload {
    package var json: String {
        var members: [String: JSONValue] = [
            "run": .string(run.description), "pipeline": .string(pipeline), "stage": .string(stage),
            "kind": .string(kind), "pool": .string(pool), "timeoutSeconds": .double(timeoutSeconds),
            "ackPolicy": .string(ackPolicy.rawValue), "cache": .bool(cache), "parameters": parameters,
            "inputs": .object(inputs.mapValues(\.jsonValue)),
        ]
        members["outcome"] = outcome?.jsonValue
        members["generation"] = generation.map { .int(Int64($0)) }
        members["resourceRetry"] = resourceRetry.map { .bool($0) }
        return JSONValue.object(members).canonicalJSON
    }
}

extension RunSummary {
    fileprivate var jsonValue: JSONValue {
        var members: [String: JSONValue] = [
            "state": .string(state.rawValue), "createdAt": .string(createdAt.precise),
            "stages": .array(stages.map(\.jsonValue)),
        ]
        members["reason"] = reason.map { .string($0) }
        return .object(members)
    }
}

extension RunSummary.Stage {
    fileprivate var jsonValue: JSONValue {
        var members: [String: JSONValue] = [
            "name": .string(name), "state": .string(state.rawValue), "attempts": .int(Int64(attempts)),
        ]
        members["startedAt"] = startedAt.map { .string($0.precise) }
        members["finishedAt"] = finishedAt.map { .string($0.precise) }
        members["output"] = output?.jsonValue
        members["failure"] = failure?.jsonValue
        return .object(members)
    }
}

extension StageOutput {
    package var json: String { jsonValue.canonicalJSON }

    fileprivate var jsonValue: JSONValue {
        var members: [String: JSONValue] = ["values": values]
        members["artifacts"] = artifacts.map {
            ["bucket": .string($0.bucket), "key": .string($0.key), "sha256": .string($0.sha256)]
        }
        members["digest"] = digest.map { .string($0) }
        members["cachedFrom"] = cachedFrom.map { .string($0) }
        return .object(members)
    }
}

extension Failure {
    package var json: String { jsonValue.canonicalJSON }

    fileprivate var jsonValue: JSONValue {
        var members: [String: JSONValue] = [
            "class": .string(`class`.rawValue), "code": .string(code), "message": .string(message),
        ]
        members["details"] = details
        return .object(members)
    }
}
