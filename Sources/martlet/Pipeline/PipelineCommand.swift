import ArgumentParser
import Configuration
import Pipeline

struct PipelineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pipeline", abstract: "Pipelines, as they stand in their files.",
        subcommands: [PipelineCheckCommand.self, PipelineListCommand.self])
}

struct PipelineCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Checks pipeline files; every problem with its file and line.",
        discussion: """
              martlet pipeline check
              martlet pipeline check config/pipelines/security-qa.yaml
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "Files; all of the pipelines' folder by default.")
    var files: [String] = []

    func run() throws {
        do {
            if files.isEmpty {
                let catalogue = try PipelineCatalogue(directory: try global.load().paths.pipelines)
                for (name, file) in catalogue.files.sorted(by: { $0.key < $1.key }) {
                    print("\(file): \(name) is fine")
                }
                return
            }
            var isBad = false
            for file in files {
                do {
                    let spec = try PipelineFile.load(path: file)
                    print("\(file): \(spec.name) is fine, \(spec.stages.count) stages")
                } catch {
                    Terminal.complain("\(error)")
                    isBad = true
                }
            }
            if isBad { throw ExitCodes.failed }
        } catch let error as ConfigurationError {
            Terminal.complain("\(error)")
            throw ExitCodes.failed
        }
    }
}

struct PipelineListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists the pipelines with their parameters.",
        discussion: "  martlet pipeline list --output json")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    func run() throws {
        do {
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
        } catch let error as ConfigurationError {
            Terminal.complain("\(error)")
            throw ExitCodes.failed
        }
    }
}
