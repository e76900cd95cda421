import Ledger
import Pipeline

/// A run in words, for a terminal.
struct RunReport {
    private let record: RunRecord

    init(_ record: RunRecord) {
        self.record = record
    }

    var text: String {
        var lines = [
            "run        \(record.id)", "pipeline   \(record.pipeline)", "state      \(record.state.rawValue)",
        ]
        if let reason = record.reason { lines.append("reason     \(reason)") }
        lines.append("event      \(record.eventID) from \(record.eventSource)")
        lines.append("created    \(record.createdAt)")
        if let started = record.startedAt {
            lines.append("took       \(Age.text(from: started, to: record.finishedAt ?? .now))")
        }
        if record.generation > 1 { lines.append("retried    \(record.generation - 1) times by hand") }
        lines.append("")
        return lines.joined(separator: "\n") + "\n" + stages + gate + failures + effects
    }

    private var stages: String {
        var table = Table(["STAGE", "STATE", "ATTEMPT", "TOOK", "WORKER", "NOTE"])
        for task in record.tasks {
            let took = task.startedAt.map { Age.text(from: $0, to: task.finishedAt ?? .now) }
            table.add([
                task.stage, task.state.rawValue, String(task.attempt), took ?? "-", task.worker ?? "-", note(task),
            ])
        }
        return table.text
    }

    private func note(_ task: TaskRecord) -> String {
        if task.rejected { return "rejected by its gate" }
        if let failure = task.failure {
            return "\(failure.class.rawValue) \(failure.code): \(failure.message)".cut(to: 100)
        }
        if let from = task.output?.cachedFrom { return "from the cache (run \(from))" }
        if task.state == .ready, let due = task.dueAt, due > .now { return "due in \(Age.text(from: .now, to: due))" }
        return ""
    }

    private var gate: String {
        guard let gate = record.gates.first, let decision = GateDecision(json: gate.decision) else { return "" }
        var table = Table(["", "RULE", "OBSERVED", "THRESHOLD", "WHY"])
        for result in decision.results {
            table.add([
                result.passed ? "✓" : "✗", result.rule, Self.number(result.observed), Self.number(result.threshold),
                result.explanation,
            ])
        }
        return "\ngate       \(gate.accepted ? "accepted" : "rejected") at stage \(gate.stage)\n" + table.text
    }

    private var failures: String {
        guard !record.failures.isEmpty else { return "" }
        var table = Table(["STAGE", "ATTEMPT", "CLASS", "CODE", "MESSAGE"])
        for item in record.failures {
            table.add([
                item.stage, String(item.attempt), item.failure.class.rawValue, item.failure.code,
                item.failure.message.cut(to: 200),
            ])
        }
        return "\nattempts that failed\n" + table.text
    }

    private var effects: String {
        guard !record.effects.isEmpty else { return "" }
        var table = Table(["EFFECT", "STATE", "OUTCOME"])
        for effect in record.effects {
            table.add([effect.key, effect.state, (effect.outcome?.canonicalJSON ?? "").cut(to: 120)])
        }
        return "\neffects outside\n" + table.text
    }

    private static func number(_ value: Double?) -> String {
        value.map { String(($0 * 10_000).rounded() / 10_000) } ?? "-"
    }
}
