import Pipeline

/// Takes a pipeline out of a YAML document.
struct PipelineReader {
    private static let keys = ["name", "description", "parameters", "priority", "schedules", "stages"]
    private static let stageKeys = [
        "name", "kind", "pool", "needs", "when", "timeout", "retries", "ack", "cache", "parameters",
    ]

    private let root: MappingReader
    private let file: String
    private let problems: ProblemList

    init?(_ node: YAMLNode, file: String, problems: ProblemList) {
        guard let root = MappingReader(node, label: "the pipeline", keys: Self.keys, problems: problems) else {
            return nil
        }
        self.root = root
        self.file = file
        self.problems = problems
    }

    /// The pipeline as far as it can be read; the rest is reported.
    func spec() -> PipelineSpec {
        PipelineSpec(
            name: root.string("name") ?? PipelineFile.defaultName(of: file),
            description: root.string("description"),
            parameters: root.object("parameters") ?? [:],
            stages: (root.elements("stages") ?? []).map(stage),
            priority: root.integer("priority") ?? 0,
            schedules: (root.elements("schedules") ?? []).map(schedule))
    }

    private func schedule(_ node: YAMLNode) -> ScheduleSpec {
        let reader = MappingReader(node, label: "a schedule", keys: ["name", "cron", "parameters"], problems: problems)
        return ScheduleSpec(
            name: reader?.string("name") ?? "", cron: reader?.string("cron") ?? "",
            parameters: reader?.object("parameters") ?? [:])
    }

    private func stage(_ node: YAMLNode) -> StageSpec {
        guard let reader = MappingReader(node, label: "a stage", keys: Self.stageKeys, problems: problems) else {
            return StageSpec(name: "", kind: "noop")
        }
        if reader.node("name") == nil {
            problems.report("a stage needs a name: lower-case letters, digits, - and _", at: node.position)
        }
        let name = reader.string("name") ?? ""
        let kind = reader.string("kind") ?? name
        return StageSpec(
            name: name, kind: kind, pool: reader.string("pool"), needs: reader.strings("needs"),
            condition: reader.choice("when", StageCondition.self) ?? .onSuccess,
            timeoutSeconds: reader.duration("timeout") ?? 3_600,
            retry: reader.node("retries").map(retries) ?? RetryPolicy(),
            ackPolicy: reader.choice("ack", AckPolicy.self) ?? .onResult,
            cache: reader.bool("cache") ?? false,
            parameters: .object(reader.object("parameters") ?? [:]))
    }

    private func retries(_ node: YAMLNode) -> RetryPolicy {
        let standard = RetryPolicy()
        let keys = ["attempts", "initial_delay", "multiplier", "max_delay"]
        guard let reader = MappingReader(node, label: "retries", keys: keys, problems: problems) else {
            return standard
        }
        return RetryPolicy(
            maximumAttempts: reader.integer("attempts") ?? standard.maximumAttempts,
            initialDelaySeconds: reader.duration("initial_delay") ?? standard.initialDelaySeconds,
            multiplier: reader.number("multiplier") ?? standard.multiplier,
            maximumDelaySeconds: reader.duration("max_delay")
                ?? max(standard.maximumDelaySeconds, reader.duration("initial_delay") ?? 0))
    }
}
