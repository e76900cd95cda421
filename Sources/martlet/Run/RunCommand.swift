import ArgumentParser

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs: look at them, follow them, cancel them, run them again.",
        discussion: """
            A run may be named by the beginning of its id, or as `latest`.

              martlet run list --state failed
              martlet run show latest
              martlet run watch latest
              martlet run retry r1k7 --from-stage evaluate
            """,
        subcommands: [
            RunListCommand.self, RunShowCommand.self, RunWatchCommand.self, RunLogsCommand.self, RunReportCommand.self,
            RunCancelCommand.self, RunRetryCommand.self,
        ])
}
