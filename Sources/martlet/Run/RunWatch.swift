import Coordination
import Ledger
import Pipeline

/// Follows a run: redrawn in place on a terminal, a line per change elsewhere.
struct RunWatch {
    let run: RunID
    let ledger: Ledger
    let coordinator: Coordinator
    let format: OutputOptions

    private var isDrawn: Bool { format.output == .table && Terminal.isInteractive }

    /// - Returns: the run as it ended, once everything that runs always has ended as well.
    func follow() async throws -> RunRecord {
        var screen = Screen()
        var told: [String: String] = [:]
        var losses = 0
        while true {
            let record: RunRecord
            let progress: [TaskID: JSONValue]
            do {
                record = try await ledger.run(run)
                progress = try await liveProgress(of: record)
                losses = 0
            } catch  where losses < 120 {
                // A server that restarts must not end the view of a run that goes on.
                losses += 1
                try await Task.sleep(for: .seconds(1))
                continue
            }
            let isOver = record.state.isTerminal && record.tasks.allSatisfy(\.state.isTerminal)
            if isDrawn {
                screen.draw(RunDrawing(record: record, progress: progress, width: Terminal.width).lines)
            } else {
                for line in changes(record, progress, &told) {
                    switch format.output {
                    case .table: Terminal.write(Terminal.safe(line) + "\n")
                    case .json: Terminal.complain(line)
                    }
                }
            }
            if isOver { return record }
            try await Task.sleep(for: .milliseconds(isDrawn ? 250 : 1_000))
        }
    }

    private func liveProgress(of record: RunRecord) async throws -> [TaskID: JSONValue] {
        let busy = record.tasks.filter { $0.state == .running || $0.state == .dispatched }
        do {
            return try await coordinator.progress(of: busy.map { TaskID(run: run, stage: $0.stage) })
        } catch {
            // Progress is decoration: the ledger's word stands without it.
            return [:]
        }
    }

    /// Lines for what changed since the last look.
    private func changes(
        _ record: RunRecord, _ progress: [TaskID: JSONValue], _ told: inout [String: String]
    ) -> [String] {
        var lines: [String] = []
        for task in record.tasks {
            var text = "\(task.stage): \(task.state.rawValue)"
            if task.attempt > 1 { text += " (attempt \(task.attempt))" }
            if let live = progress[TaskID(run: run, stage: task.stage)] { text += ", \(ProgressText.of(live))" }
            if task.state.isTerminal, let start = task.startedAt, let end = task.finishedAt {
                text += " after \(Age.text(from: start, to: end))"
            }
            if let from = task.output?.cachedFrom { text += ", from the cache (run \(from))" }
            if let failure = task.failure { text += ": \(failure.message.cut(to: 200))" }
            if told[task.stage] != text, task.state != .pending { lines.append(text) }
            told[task.stage] = text
        }
        if record.state.isTerminal, told["·run"] != record.state.rawValue {
            told["·run"] = record.state.rawValue
            lines.append("run \(record.id): \(record.state.rawValue)" + (record.reason.map { ": \($0)" } ?? ""))
        }
        return lines
    }
}

/// Redraws a block of lines where it stands.
struct Screen {
    private var height = 0

    mutating func draw(_ lines: [String]) {
        // Up to the block's first line, each line cleared to its end, whatever is below cleared too.
        var text = height > 0 ? "\u{1B}[\(height)A\r" : ""
        for line in lines { text += Terminal.safe(line) + "\u{1B}[K\n" }
        text += "\u{1B}[J"
        Terminal.write(text)
        height = lines.count
    }
}
