import ArgumentParser
import Glibc
import StageSupport

@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Takes new data to a served model.",
        discussion: """
            Start everything on this machine, publish an event, watch the run:

              martlet up
              martlet event publish security-qa --parameter source=file:///data/cwe
              martlet run watch latest
            """,
        version: BuildInfo.version,
        subcommands: [
            UpCommand.self, DownCommand.self, StatusCommand.self,
            EventCommand.self, RunCommand.self, FailedCommand.self, PoolCommand.self,
            PipelineCommand.self, ModelCommand.self, KeyCommand.self, UsageCommand.self, BatchCommand.self,
            RolloutCommand.self,
            DoctorCommand.self,
            ArtifactCommand.self,
            WorkerCommand.self, SchedulerCommand.self, GatewayCommand.self, ServeCommand.self, SupervisorCommand.self,
            ServersCommand.self,
        ])

    /// As ArgumentParser's own, which ends with 64 after wrong usage.
    static func main() async {
        do {
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            Terminal.complain(fullMessage(for: error))
            Glibc.exit(ExitCodes.usage.rawValue)
        }
    }
}
