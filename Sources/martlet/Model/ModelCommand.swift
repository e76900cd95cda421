import ArgumentParser
import ChildProcess
import Configuration
import Foundation
import Glibc
import Logging
import Pipeline
import StageSupport
import WorkerRuntime

struct ModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Base models in the object store.",
        discussion: """
              martlet model import smollm2-135m-instruct --gguf SmolLM2.gguf
              martlet model list
            """,
        subcommands: [ModelImportCommand.self, ModelListCommand.self])
}

struct ModelImportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Puts a base model into the object store, by digest, as safetensors.",
        discussion: """
            Pickled weights are never read. A hub id needs the 40 hexadecimal digits of a revision.

              martlet model import smollm2-135m-instruct --gguf SmolLM2.gguf
              martlet model import tinyllama --directory /models/TinyLlama-1.1B-Chat-v1.0
              martlet model import tinyllama --hub TinyLlama/TinyLlama-1.1B-Chat-v1.0 --revision fe8a4ea1ffedaf415f4da2f062534de366a451e6
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The name that pipelines use in base_model.")
    var name: String

    @Option(help: "A GGUF file.")
    var gguf: String?

    @Option(help: "A folder in the layout of Hugging Face, with safetensors.")
    var directory: String?

    @Option(help: "An id on the Hugging Face hub.")
    var hub: String?

    @Option(help: "The revision of --hub: 40 hexadecimal digits.")
    var revision: String?

    @Option(help: "The licence, where the source does not say it.")
    var licence: String?

    @Flag(help: "Do nothing when a model of that name is there already.")
    var ifMissing = false

    func validate() throws {
        guard [gguf, directory, hub].compactMap(\.self).count == 1 else {
            throw ValidationError("Give exactly one of --gguf, --directory and --hub.")
        }
        guard (hub == nil) == (revision == nil) else { throw ValidationError("--hub and --revision go together.") }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let (model, note) = try await Signals.cancelling { try await importModel() }
            switch format.output {
            case .table: Terminal.show("\(model.name) \(note): \(model.bytes) bytes, digest \(model.digest)")
            case .json: print(try JSONText.of(model))
            }
        }
    }

    private func importModel() async throws -> (BaseModel, note: String) {
        let settings = try global.load()
        let logger = Logger(label: "martlet.model") { _ in SwiftLogNoOpLogHandler() }
        let services = Services(configuration: settings, name: "martlet model", logger: logger)
        let transport = services.transport()
        let models = BaseModels(storage: try services.storage(transport), bucket: settings.s3.bucket)
        if ifMissing, let known = try await models.list().first(where: { $0.name == name }) {
            return (known, "is there already")
        }
        let state = try AbsolutePath.of(settings.paths.state)
        HeldFolder.sweep(state, prefix: "import-")
        let folder = try HeldFolder("import-" + UUID().uuidString, in: state)
        defer { folder.remove() }
        let report = try await convert(into: folder.path, python: try PythonEnvironments.stages(settings))
        let model = try await models.store(
            directory: folder.path + "/output", name: name, digest: report["digest"]?.stringValue ?? "",
            parameters: report["parameters"]?.intValue, architecture: report["architecture"]?.stringValue,
            licence: report["licence"]?.stringValue, source: report["source"] ?? .null, importedAt: .now)
        return (model, "imported")
    }

    private func convert(into folder: String, python: PythonStage.Environment) async throws -> JSONValue {
        var source: [String: JSONValue] = [:]
        if let gguf { source["gguf"] = .string(try AbsolutePath.of(gguf)) }
        if let directory { source["directory"] = .string(try AbsolutePath.of(directory)) }
        if let hub, let revision { source["hub"] = .object(["id": .string(hub), "revision": .string(revision)]) }
        var specification: [String: JSONValue] = ["source": .object(source), "output_dir": .string(folder + "/output")]
        if let licence { specification["licence"] = .string(licence) }
        let file = folder + "/spec.json"
        try Data(JSONValue.object(specification).canonicalJSON.utf8).write(to: URL(filePath: file))
        var variables = ProcessEnvironment.current()
        variables["PYTHONPATH"] = python.packageDirectory
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        let child = try ChildProcess.spawn(
            python.interpreter, arguments: ["-m", "martlet_stages", "import-model", "--spec", file],
            environment: variables, workingDirectory: folder, stdout: .pipe, stderr: .file(folder + "/log"))
        return try await withTaskCancellationHandler {
            do {
                return try await Self.result(of: child, log: folder + "/log")
            } catch {
                // It must not write into a folder that is about to go.
                child.signalGroup(SIGKILL)
                await child.wait()
                throw error
            }
        } onCancel: {
            child.signalGroup(SIGKILL)
        }
    }

    private static func result(of child: ChildProcess, log: String) async throws -> JSONValue {
        var result: JSONValue?
        if let lines = child.stdoutLines {
            for await line in lines {
                guard let event = try? JSONDecoder().decode(JSONValue.self, from: Data(line.text.utf8)) else {
                    continue
                }
                switch event["event"]?.stringValue {
                case "result": result = event["output"]
                case "error":
                    throw StageFailure(
                        .permanent, "model." + (event["code"]?.stringValue ?? "import"),
                        event["message"]?.stringValue ?? "the import failed")
                case "progress":
                    if let message = event["message"]?.stringValue { Terminal.complain("  " + message) }
                default: break
                }
            }
        }
        let status = await child.wait()
        guard let result, status.isSuccess else {
            let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
            throw StageFailure(.permanent, "model.import", "the import ended with \(status): \(text.suffix(2_000))")
        }
        return result
    }
}

struct ModelListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists the base models.",
        discussion: """
              martlet model list
              martlet model list --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let logger = Logger(label: "martlet.model") { _ in SwiftLogNoOpLogHandler() }
            let services = Services(configuration: settings, name: "martlet model", logger: logger)
            let models = try await BaseModels(
                storage: try services.storage(services.transport()), bucket: settings.s3.bucket
            ).list()
            switch format.output {
            case .json: print(try JSONText.of(models))
            case .table:
                var table = Table(["NAME", "PARAMETERS", "BYTES", "LICENCE", "DIGEST", "IMPORTED"])
                for model in models {
                    table.add([
                        model.name, model.parameters.map { String($0) } ?? "-", String(model.bytes),
                        model.licence ?? "-",
                        String(model.digest.prefix(12)), model.importedAt.description,
                    ])
                }
                print(table.text, terminator: "")
            }
        }
    }
}
