import ArgumentParser
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
            PipelineCommand.self, ModelCommand.self, DoctorCommand.self,
            ArtifactCommand.self,
            WorkerCommand.self, SchedulerCommand.self, SupervisorCommand.self, ServersCommand.self,
        ])
}
