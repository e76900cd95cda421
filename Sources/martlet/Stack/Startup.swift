import ArgumentParser
import ChildProcess
import Foundation
import LocalStack

/// A supervisor on its way to ready, as `martlet up` follows it.
struct Startup {
    enum Outcome: Equatable {
        case ready
        /// It ended before it was ready.
        case ended
        /// Another invocation's supervisor is in its place.
        case replaced
        case timedOut
    }

    let state: String
    let pid: pid_t
    /// Nil when another invocation started it.
    let child: ChildProcess?
    private let logLength: UInt64

    /// Starts a supervisor in the background.
    static func launch(state: String, config: String?) throws -> Startup {
        var arguments = ["supervisor"]
        if let config { arguments += ["--config", config] }
        let log = Self.log(state)
        let length = (try? FileManager.default.attributesOfItem(atPath: log)[.size] as? UInt64) ?? 0
        let child = try ChildProcess.spawn(
            OwnExecutable.path, arguments: arguments, environment: ProcessEnvironment.current(), stdout: .file(log),
            stderr: .file(log))
        return Startup(state: state, pid: child.pid, child: child, logLength: length)
    }

    /// One that runs already.
    init(state: String, pid: pid_t) {
        self.init(state: state, pid: pid, child: nil, logLength: 0)
    }

    private init(state: String, pid: pid_t, child: ChildProcess?, logLength: UInt64) {
        self.state = state
        self.pid = pid
        self.child = child
        self.logLength = logLength
    }

    static func log(_ state: String) -> String { state + "/log/supervisor.log" }

    /// Tells `note` what happens until the stack is ready, or will not be.
    func follow(until deadline: ContinuousClock.Instant, note: (String) -> Void) async throws -> Outcome {
        var shown = 0
        while ContinuousClock.now < deadline {
            // Asked first: what an ended supervisor wrote last is on the board by now.
            let holder = SupervisorLock.holder(state: state)
            let hasEnded = child.map { $0.exitStatus != nil } ?? (holder != pid)
            if let board = board {
                for text in board.notes.dropFirst(shown) { note(text) }
                shown = max(shown, board.notes.count)
                if board.phase == .ready, !hasEnded { return .ready }
            }
            if hasEnded { return child == nil || holder != nil ? .replaced : .ended }
            try await Task.sleep(for: .milliseconds(100))
        }
        return .timedOut
    }

    /// What this supervisor says of itself; nil before it has said anything.
    var board: StatusBoard.Document? {
        StatusBoard.read(state: state).flatMap { $0.pid == pid ? $0 : nil }
    }

    /// The last lines that it logged.
    var logTail: [Substring] {
        guard let file = FileHandle(forReadingAtPath: Self.log(state)) else { return [] }
        defer { try? file.close() }
        let end = (try? file.seekToEnd()) ?? 0
        guard (try? file.seek(toOffset: max(logLength, end - min(end, 16_384)))) != nil,
            let data = try? file.readToEnd()
        else { return [] }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").suffix(20)
    }
}
