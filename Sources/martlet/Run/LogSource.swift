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

    /// All that is there of one attempt; empty when there is nothing.
    func whole(stage: String, attempt: Int) async throws -> [String] {
        let live = try await coordinator.readLog(
            TaskID(run: run, stage: stage), attempt: attempt, after: "0", limit: 100_000
        ).lines
        let stored = try await stored(stage: stage, attempt: attempt)
        return Self.lines(stored) + LogText.continuation(of: stored, in: live)
    }

    /// Empty when there is nothing.
    private func stored(stage: String, attempt: Int) async throws -> String {
        let key = "runs/\(run)/\(stage)/logs/\(attempt).log"
        guard let info = try await storage.head(bucket: bucket, key: key) else { return "" }
        // It may grow in between.
        let bytes = try await storage.get(bucket: bucket, key: key, upTo: Int(info.size) + (1 << 20))
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func lines(_ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).dropLast(text.hasSuffix("\n") ? 1 : 0)
            .map(String.init)
    }

    /// Tells what there is of every attempt, and new lines as they come, until the run has ended.
    /// - Parameters:
    ///   - attempt: only this one, until it is over; the latest two of each stage when nil.
    ///   - tell: gets stage, attempt and line.
    func follow(
        ledger: Ledger, stage: String?, attempt: Int?, tell: (String, Int, String) throws -> Void
    ) async throws {
        var cursors: [String: String] = [:]
        while true {
            let record = try await ledger.run(run)
            let tasks = record.tasks.filter { stage == nil || $0.stage == stage }
            for task in tasks {
                for attempt in attempt.map({ $0...$0 }) ?? max(1, task.attempt - 1)...task.attempt {
                    let name = "\(task.stage)/\(attempt)"
                    // A store that is away costs the old lines, not the view.
                    let old = cursors[name] == nil ? try? await stored(stage: task.stage, attempt: attempt) : nil
                    let answer = try await coordinator.readLog(
                        TaskID(run: run, stage: task.stage), attempt: attempt, after: cursors[name] ?? "0",
                        limit: 10_000)
                    cursors[name] = answer.cursor
                    let new = LogText.continuation(of: old ?? "", in: answer.lines)
                    for line in Self.lines(old ?? "") + new { try tell(task.stage, attempt, line) }
                }
            }
            if record.state.isTerminal, record.tasks.allSatisfy(\.state.isTerminal) { return }
            if let attempt, tasks.allSatisfy({ $0.attempt > attempt || $0.state.isTerminal }) { return }
            try await Task.sleep(for: .milliseconds(500))
        }
    }
}
