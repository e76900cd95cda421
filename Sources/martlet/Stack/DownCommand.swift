import ArgumentParser
import Configuration
import Foundation
import Glibc
import LocalStack
import Pipeline

struct DownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Stops the whole stack cleanly; its data stays.",
        discussion: """
            Workers save what they can and give their tasks back; the next `martlet up` goes on from there.

              martlet down
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Option(help: "Seconds to wait until everything has stopped.")
    var timeout = 180

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let state = try AbsolutePath.of(settings.paths.state)
            let stack = try LocalStack(folder: state)
            if let pid = SupervisorLock.holder(state: state) { try await stop(pid, state) }
            // A supervisor that was killed leaves its servers, and its processes for as long as they drain. Nobody may
            // start others meanwhile; who has started some by now wants them.
            if let lock = try? SupervisorLock(state: state) {
                await Leftovers.stop(
                    Leftovers.find(state: state), grace: .seconds(settings.workerGrace), note: format.note)
                try await stack.stop { format.note("\($0)") }
                withExtendedLifetime(lock) {}
            }
            switch format.output {
            case .table: print("stopped")
            case .json: print(JSONValue.object(["state": .string("stopped")]).canonicalJSON)
            }
        }
    }

    /// Asks the supervisor to stop everything and waits for its end.
    private func stop(_ pid: pid_t, _ state: String) async throws {
        kill(pid, SIGTERM)
        let deadline = ContinuousClock.now + .seconds(timeout)
        var shown: Set<String> = []
        while ContinuousClock.now < deadline {
            // Asked first: what an ended supervisor wrote last is on the board by now.
            let holder = SupervisorLock.holder(state: state)
            if let board = StatusBoard.read(state: state), board.pid == pid,
                board.phase == .stopping || board.phase == .stopped
            {
                for note in board.notes where shown.insert(note).inserted { format.note(note) }
            }
            if holder != pid { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        Terminal.complain("martlet: not stopped after \(timeout) s; \(Startup.log(state)) tells more")
        throw ExitCodes.failed
    }
}
