import Ledger
import Pipeline

/// What came of a run, for the person who asked for it: one page, with where to look next.
struct ClosingReport: Encodable {
    struct Stage: Encodable {
        var name: String
        var state: TaskState
        var attempts: Int
        /// Nil for a stage that never ran.
        var seconds: Double?
        var isCached: Bool
        var note: String?
    }

    struct Model: Encodable {
        var name: String
        var version: String
        /// The aliases that the register stage pointed at it.
        var aliases: [String]
        var source: String?
        /// The version that is the champion now; nil when there is none or the registry could not be asked.
        var championNow: String?
    }

    var run: RunID
    var pipeline: String
    var state: RunState
    var reason: String?
    var seconds: Double?
    var stages: [Stage]
    var gate: GateDecision?
    /// By role (`candidate`, `base`, `champion`), then by metric.
    var metrics: [String: [String: Double]]
    var model: Model?
    /// Where the files of the stages are: `s3://bucket/key` of each manifest, by stage.
    var artifacts: [String: String]
    var mlflow: String?
    /// What could not be found out, and why.
    var problems: [String] = []

    init(_ record: RunRecord) {
        run = record.id
        pipeline = record.pipeline
        state = record.state
        reason = record.reason
        let begin = record.startedAt ?? record.createdAt
        seconds = record.finishedAt.map { $0.seconds - begin.seconds }
        stages = record.tasks.map(Self.stage)
        gate = record.gates.first.flatMap { GateDecision(json: $0.decision) }
        metrics = [:]
        artifacts = [:]
        for task in record.tasks {
            guard let output = task.output else { continue }
            if let place = output.artifacts { artifacts[task.stage] = "s3://\(place.bucket)/\(place.key)" }
            for (role, values) in output.values["metrics"]?.objectValue ?? [:] {
                metrics[role, default: [:]].merge(values.objectValue?.compactMapValues(\.doubleValue) ?? [:]) { $1 }
            }
            if let name = output.values["name"]?.stringValue, let version = output.values["version"]?.stringValue,
                output.values["type"]?.stringValue == "model-version"
            {
                model = Model(
                    name: name, version: version,
                    aliases: output.values["aliases"]?.arrayValue?.compactMap(\.stringValue) ?? [],
                    source: output.values["source"]?.stringValue)
            }
        }
    }

    private static func stage(_ task: TaskRecord) -> Stage {
        var note: String?
        if let failure = task.failure { note = "\(failure.code): \(failure.message)" }
        if task.rejected { note = "rejected by its gate" }
        if let from = task.output?.cachedFrom { note = "from the cache (run \(from))" }
        var seconds: Double?
        if let start = task.startedAt, let end = task.finishedAt { seconds = end.seconds - start.seconds }
        return Stage(
            name: task.stage, state: task.state, attempts: task.attempt, seconds: seconds,
            isCached: task.output?.cachedFrom != nil, note: note)
    }
}
