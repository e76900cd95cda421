extension NotificationMessage {
    /// The body of a webhook. Members are only ever added to version 1; absent values are null.
    package var webhookPayload: JSONValue {
        .object([
            "type": "dev.martlet.run.ended.v1",
            "pipeline": .string(pipeline),
            "run": .string(run.description),
            "outcome": .string(outcome.rawValue),
            "reason": Self.text(reason),
            "created_at": .string(createdAt.description),
            "finished_at": Self.text(finishedAt?.description),
            "duration_seconds": Self.number(seconds),
            "gate": gate?.json ?? .null,
            "stages": .array(stages.map(Self.member)),
            "links": .array(links.map { ["title": .string($0.title), "url": .string($0.url)] }),
        ])
    }

    private static func member(_ stage: Stage) -> JSONValue {
        [
            "name": .string(stage.name), "state": .string(stage.state.rawValue),
            "attempts": .int(Int64(stage.attempts)), "duration_seconds": number(stage.seconds),
            "cached": .bool(stage.isCached),
        ]
    }

    private static func text(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }
    private static func number(_ value: Double?) -> JSONValue { value.map(JSONValue.double) ?? .null }
}
