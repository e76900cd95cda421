import ArgumentParser
import ChildProcess
import Configuration
import Foundation
import LocalStack

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Starts the whole stack on this machine and waits until it is ready.",
        discussion: """
            RabbitMQ, Redis, PostgreSQL, SeaweedFS, MLflow, a scheduler and a worker per pool, with their data under
            .martlet (MARTLET_STATE). Free ports are chosen once and remembered.

              martlet up
              martlet status
              martlet down
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "Seconds to wait until everything is ready.")
    var timeout = 300

    func run() async throws {
        try await ExitCodes.guarding {
            let state = try AbsolutePath.of(try global.load().paths.state)
            if SupervisorLock.holder(state: state) != nil, StatusBoard.read(state: state)?.phase == .ready {
                print("already running; `martlet status` shows what")
                return
            }
            try LocalStack.makeFolder(state)
            try FileManager.default.createDirectory(
                atPath: state + "/log", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            if SupervisorLock.holder(state: state) == nil {
                var arguments = ["supervisor"]
                if let config = global.config { arguments += ["--config", config] }
                let log = state + "/log/supervisor.log"
                try? FileManager.default.removeItem(atPath: state + "/supervisor.json")
                _ = try ChildProcess.spawn(
                    OwnExecutable.path, arguments: arguments, environment: ProcessEnvironment.current(),
                    stdout: .file(log), stderr: .file(log))
            }
            try await follow(state: state)
        }
    }

    private func follow(state: String) async throws {
        let deadline = ContinuousClock.now + .seconds(timeout)
        let began = ContinuousClock.now
        var shown = 0
        while ContinuousClock.now < deadline {
            if let board = StatusBoard.read(state: state) {
                for note in board.notes.dropFirst(shown) { print("  " + note) }
                shown = max(shown, board.notes.count)
                switch board.phase {
                case .ready:
                    let seconds = (began.duration(to: .now) / .seconds(1)).formatted(
                        .number.precision(.fractionLength(1)))
                    print("ready after \(seconds) s; `martlet status` shows what runs where")
                    return
                case .failed:
                    Terminal.complain("martlet: the stack did not start; \(state)/log/supervisor.log tells more")
                    throw ExitCodes.failed
                case .starting, .stopping, .stopped: break
                }
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        Terminal.complain("martlet: not ready after \(timeout) s; \(state)/log/supervisor.log tells more")
        throw ExitCodes.unreachable
    }
}
