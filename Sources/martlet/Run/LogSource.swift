import Coordination
import Foundation
import Ledger
import ObjectStorage
import Pipeline

/// Logs of attempts: in the object store when they have ended, live through Redis before.
struct LogSource: Sendable {
    let coordinator: Coordinator
    let storage: S3Client
    let bucket: String
    let run: RunID

    /// All that is there of one attempt; nil when there is nothing.
    func whole(stage: String, attempt: Int) async throws -> String? {
        let live = try await liveText(stage: stage, attempt: attempt)
        let key = "runs/\(run)/\(stage)/logs/\(attempt).log"
        guard let info = try await storage.head(bucket: bucket, key: key) else { return live }
        let stored = String(
            decoding: try await storage.get(bucket: bucket, key: key, upTo: Int(info.size) + 1), as: UTF8.self)
        // A stored log of an attempt at work is some seconds old; Redis has at least its end.
        guard let live, let last = stored.split(separator: "\n").last, let place = live.range(of: last) else {
            return stored
        }
        return stored + live[place.upperBound...].drop { $0 == "\n" }
    }

    private func liveText(stage: String, attempt: Int) async throws -> String? {
        let task = TaskID(run: run, stage: stage)
        let lines = try await coordinator.readLog(task, attempt: attempt, after: "0", limit: 100_000).lines
        return lines.isEmpty ? nil : lines.joined(separator: "\n") + "\n"
    }

    /// Prints new lines of every attempt, as they come, until the run has ended.
    func follow(ledger: Ledger, stage: String?) async throws {
        var cursors: [String: String] = [:]
        while true {
            let record = try await ledger.run(run)
            for task in record.tasks where stage == nil || task.stage == stage {
                for attempt in max(1, task.attempt - 1)...task.attempt {
                    let name = "\(task.stage)/\(attempt)"
                    let answer = try await coordinator.readLog(
                        TaskID(run: run, stage: task.stage), attempt: attempt, after: cursors[name] ?? "0",
                        limit: 10_000)
                    cursors[name] = answer.cursor
                    for line in answer.lines { Terminal.write("\(task.stage)  \(line)\n") }
                }
            }
            if record.state.isTerminal, record.tasks.allSatisfy(\.state.isTerminal) { return }
            try await Task.sleep(for: .milliseconds(500))
        }
    }
}
