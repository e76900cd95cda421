import ArgumentParser
import Configuration
import Logging
import Telemetry

struct SupervisorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "supervisor",
        abstract: "Runs the whole stack of this machine in the foreground; `martlet up` starts it in the background.",
        discussion: """
            Keeps the servers, a scheduler and the workers of every pool running, and follows `martlet pool scale`.

              martlet supervisor
            """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            _ = ProcessSetup.begin(settings)
            let supervisor = try Supervisor(
                state: try AbsolutePath.of(settings.paths.state), config: global.config,
                grace: .seconds(settings.workerGrace), logger: Logger(label: "martlet.supervisor"))
            // Unstructured: a signal ends it from outside.
            let work = Task { try await supervisor.run() }
            let signals = Signals { work.cancel() }
            try await work.value
            withExtendedLifetime(signals) {}
        }
    }
}
