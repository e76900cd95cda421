import Foundation

/// What the stages of a test wrote down of themselves.
struct Journal: Sendable {
    struct Line: Sendable, Hashable {
        /// `begin` or `end`.
        var word: String
        var run: String
        var stage: String
        var attempt: Int
        var pid: Int32
    }

    let file: String

    var lines: [Line] {
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 5, let attempt = Int(words[3]), let pid = Int32(words[4]) else { return nil }
            return Line(
                word: String(words[0]), run: String(words[1]), stage: String(words[2]), attempt: attempt, pid: pid)
        }
    }

    func count(_ word: String, stage: String, run: String? = nil) -> Int {
        lines.count { $0.word == word && $0.stage == stage && (run == nil || $0.run == run) }
    }

    /// Waits until a stage has begun for the `times`-th time.
    func begun(_ stage: String, times: Int = 1, run: String? = nil) async throws {
        _ = try await eventually("stage \(stage) begins for the \(times). time") {
            count("begin", stage: stage, run: run) >= times ? true : nil
        }
    }
}
