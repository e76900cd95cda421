import ArgumentParser
import Configuration
import Pipeline

struct PipelineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pipeline", abstract: "Pipelines, as they stand in their files.",
        discussion: """
              martlet pipeline list
              martlet pipeline check config/pipelines/security-qa.yaml
            """,
        subcommands: [PipelineCheckCommand.self, PipelineListCommand.self])
}

struct PipelineCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Checks pipeline files; every problem with its file and line.",
        discussion: """
            Exit code 1 when a file has problems, 2 when the settings have.

              martlet pipeline check
              martlet pipeline check config/pipelines/security-qa.yaml
              martlet pipeline check --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "Files; all of the pipelines' folder by default.")
    var files: [String] = []

    private struct Document: Encodable {
        struct File: Encodable {
            var file: String
            var pipeline: String
            var stages: Int
        }

        struct Problem: Encodable {
            var file: String
            var line: Int?
            var message: String
        }

        var files: [File] = []
        var problems: [Problem] = []
    }

    func run() async throws {
        try await ExitCodes.guarding {
            var found = Document()
            var problems: [ConfigurationProblem] = []
            if files.isEmpty {
                let loaded = try PipelineCatalogue.load(directory: try global.load().paths.pipelines)
                problems = loaded.problems
                found.files = loaded.catalogue.pipelines.values.map { spec in
                    Document.File(
                        file: loaded.catalogue.files[spec.name] ?? "", pipeline: spec.name, stages: spec.stages.count)
                }.sorted { $0.file < $1.file }
            }
            for file in files {
                do {
                    let spec = try PipelineFile.load(path: file)
                    found.files.append(Document.File(file: file, pipeline: spec.name, stages: spec.stages.count))
                } catch let error as ConfigurationError {
                    problems += error.problems
                }
            }
            switch format.output {
            case .table:
                for file in found.files {
                    Terminal.show("\(file.file): \(file.pipeline) is fine, \(file.stages) stages")
                }
                for problem in problems { Terminal.complain("\(problem)") }
            case .json:
                found.problems = problems.map {
                    Document.Problem(file: $0.source, line: $0.position?.line, message: $0.message)
                }
                print(try JSONText.of(found))
            }
            if !problems.isEmpty { throw ExitCodes.failed }
        }
    }
}

struct PipelineListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists the pipelines with their parameters.",
        discussion: "  martlet pipeline list --output json")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    func run() async throws {
        try await ExitCodes.guarding {
            let catalogue = try PipelineCatalogue(directory: try global.load().paths.pipelines)
            let specs = catalogue.pipelines.values.sorted { $0.name < $1.name }
            switch format.output {
            case .json: print(try JSONText.of(specs))
            case .table:
                var table = Table(["PIPELINE", "STAGES", "PARAMETERS", "DESCRIPTION"])
                for spec in specs {
                    table.add([
                        spec.name, spec.stages.map(\.name).joined(separator: ","),
                        spec.parameters.keys.sorted().joined(separator: ","), spec.description ?? "",
                    ])
                }
                print(table.text, terminator: "")
            }
        }
    }
}
