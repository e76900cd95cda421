import ArgumentParser
import ChildProcess
import Configuration
import Foundation
import LocalStack
import Pipeline

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
    @OptionGroup var format: OutputOptions

    @Option(help: "Seconds to wait until everything is ready.")
    var timeout = 300

    func run() async throws {
        try await ExitCodes.guarding {
            let state = try AbsolutePath.of(try global.load().paths.state)
            try LocalStack.makeFolder(state)
            try FileManager.default.createDirectory(
                atPath: state + "/log", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            try await bringUp(state)
        }
    }

    private func bringUp(_ state: String) async throws {
        let began = ContinuousClock.now
        let deadline = began + .seconds(timeout)
        var isToldOfStop = false
        while ContinuousClock.now < deadline {
            let startup: Startup
            if let holder = SupervisorLock.holder(state: state) {
                startup = Startup(state: state, pid: holder)
                switch startup.board?.phase {
                case .ready: return try finish("already running; `martlet status` shows what", after: began)
                case .starting, nil: break
                case .stopping, .stopped, .failed:
                    if !isToldOfStop { format.note("the stack is stopping; it is started again after that") }
                    isToldOfStop = true
                    // Nobody tells when a lock is given back.
                    try await Task.sleep(for: .milliseconds(100))
                    continue
                }
            } else {
                startup = try Startup.launch(state: state, config: global.config)
            }
            switch try await startup.follow(until: deadline, note: format.note) {
            case .ready:
                let seconds = (began.duration(to: .now) / .seconds(1)).formatted(.number.precision(.fractionLength(1)))
                return try finish("ready after \(seconds) s; `martlet status` shows what runs where", after: began)
            case .ended: throw complain(startup)
            case .replaced: continue
            case .timedOut:
                let missing = (startup.board?.processes ?? []).filter { $0.isReady == false }.map(\.name)
                if !missing.isEmpty { Terminal.complain("martlet: not ready: \(missing.joined(separator: ", "))") }
            }
        }
        Terminal.complain("martlet: not ready after \(timeout) s; \(Startup.log(state)) tells more")
        throw ExitCodes.unreachable
    }

    /// Says why the supervisor ended.
    /// - Returns: its own exit code, where that is one of a command.
    private func complain(_ startup: Startup) -> ExitCode {
        let status = startup.child?.exitStatus
        Terminal.complain("martlet: the supervisor ended with \(status.map { "\($0)" } ?? "an unknown status")")
        for line in startup.logTail { Terminal.complain("  | " + line) }
        if case .exited(let code) = status, (1...5).contains(code) { return ExitCode(code) }
        return ExitCodes.failed
    }

    private func finish(_ text: String, after began: ContinuousClock.Instant) throws {
        switch format.output {
        case .table: print(text)
        case .json:
            print(
                JSONValue.object([
                    "state": .string("ready"), "seconds": .double(began.duration(to: .now) / .seconds(1)),
                ]).canonicalJSON)
        }
    }
}
