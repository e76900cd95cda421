extension TaskResult {
    /// The same JSON as by `Encodable`, several times as fast: every task has one.
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

extension StageOutput {
    fileprivate var json: String {
        var members: [String: JSONValue] = ["values": values]
        members["artifacts"] = artifacts.map {
            ["bucket": .string($0.bucket), "key": .string($0.key), "sha256": .string($0.sha256)]
        }
        members["digest"] = digest.map { .string($0) }
        members["cachedFrom"] = cachedFrom.map { .string($0) }
        return JSONValue.object(members).canonicalJSON
    }
}

extension Failure {
    fileprivate var json: String {
        var members: [String: JSONValue] = [
            "class": .string(`class`.rawValue), "code": .string(code), "message": .string(message),
        ]
        members["details"] = details
        return JSONValue.object(members).canonicalJSON
    }
}
