import Ledger
import Pipeline

/// One picture of a run.
struct RunDrawing {
    let record: RunRecord
    let progress: [TaskID: JSONValue]
    let width: Int

    var lines: [String] {
        var lines = ["run \(record.id)  \(record.pipeline)  \(record.state.rawValue)  \(took)"]
        let nameWidth = record.tasks.map(\.stage.count).max() ?? 0
        for task in record.tasks { lines.append(line(task, nameWidth).cut(to: width - 1)) }
        if let reason = record.reason { lines.append(reason.cut(to: width - 1)) }
        return lines
    }

    private var took: String {
        Age.text(from: record.startedAt ?? record.createdAt, to: record.finishedAt ?? .now)
    }

    private func line(_ task: TaskRecord, _ nameWidth: Int) -> String {
        let name = task.stage + String(repeating: " ", count: nameWidth - task.stage.count)
        var line = "  \(mark(task)) \(name)  "
        switch task.state {
        case .running, .dispatched:
            line += live(task)
        case .succeeded, .dead, .cancelled:
            if let start = task.startedAt, let end = task.finishedAt { line += Age.text(from: start, to: end) }
            if task.output?.cachedFrom != nil { line += "  cached" }
            if task.rejected { line += "  rejected" }
        case .ready:
            if let due = task.dueAt, due > .now {
                line += "again in \(Age.text(from: .now, to: due))"
            } else {
                line += "ready"
            }
        case .pending, .skipped: line += task.state.rawValue
        }
        if task.attempt > 1 { line += "  attempt \(task.attempt)" }
        if let failure = task.failure { line += "  \(failure.message)" }
        return line
    }

    private func live(_ task: TaskRecord) -> String {
        guard let live = progress[TaskID(run: record.id, stage: task.stage)] else {
            return task.state == .running ? "running" : "waiting for a worker"
        }
        let fraction = min(1, max(0, live["fraction"]?.doubleValue ?? 0))
        let filled = Int((fraction * 20).rounded())
        return "[\(String(repeating: "█", count: filled))\(String(repeating: "·", count: 20 - filled))] "
            + ProgressText.of(live)
    }

    private func mark(_ task: TaskRecord) -> String {
        switch task.state {
        case .succeeded: task.rejected ? "✗" : "✓"
        case .dead: "✗"
        case .cancelled, .skipped: "–"
        case .running, .dispatched: "▶"
        case .ready, .pending: "·"
        }
    }
}

/// A stage's progress in words.
enum ProgressText {
    static func of(_ progress: JSONValue) -> String {
        var parts: [String] = []
        if let fraction = progress["fraction"]?.doubleValue { parts.append("\(Int((fraction * 100).rounded())) %") }
        if let step = progress["step"]?.intValue, let total = (progress["total_steps"] ?? progress["total"])?.intValue,
            total > 0
        {
            parts.append("\(step)/\(total)")
        }
        if let loss = progress["loss"]?.doubleValue { parts.append("loss \((loss * 1_000).rounded() / 1_000)") }
        if let eta = progress["eta_seconds"]?.doubleValue, eta >= 1 { parts.append("\(Age.text(seconds: eta)) left") }
        if let message = progress["message"]?.stringValue { parts.append(message) }
        return parts.joined(separator: ", ")
    }
}
