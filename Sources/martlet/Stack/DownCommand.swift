import ArgumentParser
import Configuration
import Foundation
import Glibc
import LocalStack

struct DownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Stops the whole stack cleanly; its data stays.",
        discussion: """
            Workers save what they can and give their tasks back; the next `martlet up` goes on from there.

              martlet down
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "Seconds to wait until everything has stopped.")
    var timeout = 180

    func run() async throws {
        try await ExitCodes.guarding {
            let state = try AbsolutePath.of(try global.load().paths.state)
            guard let pid = SupervisorLock.holder(state: state) else {
                // A supervisor that was killed leaves its servers; they are known by their process ids.
                let stack = try LocalStack(folder: state)
                try await stack.stop { print("  \($0)") }
                print("stopped")
                return
            }
            kill(pid, SIGTERM)
            let deadline = ContinuousClock.now + .seconds(timeout)
            var shown: Set<String> = []
            while ContinuousClock.now < deadline {
                let board = StatusBoard.read(state: state)
                if board?.phase == .stopping || board?.phase == .stopped {
                    for note in board?.notes ?? [] where shown.insert(note).inserted { print("  " + note) }
                }
                if SupervisorLock.holder(state: state) == nil {
                    print("stopped")
                    return
                }
                try await Task.sleep(for: .milliseconds(100))
            }
            Terminal.complain("martlet: not stopped after \(timeout) s; \(state)/log/supervisor.log tells more")
            throw ExitCodes.failed
        }
    }
}
