import FoundationEssentials
package import Pipeline

/// Every pipeline of a folder.
package struct PipelineCatalogue: Sendable {
    /// By name.
    package let pipelines: [String: PipelineSpec]
    /// The file of each pipeline, by name.
    package let files: [String: String]
    package let directory: String

    /// Reads every `*.yaml` and `*.yml` directly in `directory`.
    /// - Throws: ``ConfigurationError`` with the problems of all files, and two files that name one pipeline.
    package init(directory: String, knownKinds: [String] = StageSpec.builtInKinds) throws(ConfigurationError) {
        let loaded = try Self.load(directory: directory, knownKinds: knownKinds)
        guard loaded.problems.isEmpty else { throw ConfigurationError(.invalid, loaded.problems) }
        self = loaded.catalogue
    }

    /// The pipelines that can be read, and what is wrong with the others: one bad file does not stop the rest.
    /// - Throws: ``ConfigurationError`` when the folder cannot be read.
    package static func load(
        directory: String, knownKinds: [String] = StageSpec.builtInKinds
    ) throws(ConfigurationError) -> (catalogue: PipelineCatalogue, problems: [ConfigurationProblem]) {
        var pipelines: [String: PipelineSpec] = [:]
        var files: [String: String] = [:]
        var problems: [ConfigurationProblem] = []
        for file in try Self.files(in: directory) {
            do {
                let spec = try PipelineFile.load(path: file, knownKinds: knownKinds)
                if let other = files[spec.name] {
                    let message = "the pipeline \"\(spec.name)\" is also in \(other): rename one of them"
                    problems.append(ConfigurationProblem(source: file, message: message))
                } else {
                    pipelines[spec.name] = spec
                    files[spec.name] = file
                }
            } catch {
                problems += error.problems
            }
        }
        return (PipelineCatalogue(pipelines: pipelines, files: files, directory: directory), problems)
    }

    private init(pipelines: [String: PipelineSpec], files: [String: String], directory: String) {
        self.pipelines = pipelines
        self.files = files
        self.directory = directory
    }

    /// - Throws: ``ConfigurationError`` that suggests the nearest name.
    package func pipeline(named name: String) throws(ConfigurationError) -> PipelineSpec {
        if let spec = pipelines[name] { return spec }
        let advice = Suggestion.advice(for: name, in: pipelines.keys, plural: "pipelines")
        throw ConfigurationError(
            .unknownPipeline, source: directory, "there is no pipeline \"\(name.prefix(80))\": \(advice)")
    }

    /// The base models that runs without parameters of their own take, each with the pipelines that name it.
    package var baseModels: [String: [String]] {
        var models: [String: [String]] = [:]
        for spec in pipelines.values.sorted(by: { $0.name < $1.name }) {
            let names = spec.stages.compactMap { stage in
                stage.parameters["base_model"].flatMap {
                    try? ParameterTemplate.fill($0, with: spec.parameters).stringValue
                }
            }
            for name in Set(names) { models[name, default: []].append(spec.name) }
        }
        return models
    }

    private static func files(in directory: String) throws(ConfigurationError) -> [String] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: directory)
        } catch {
            throw ConfigurationError(
                .unreadable, source: directory,
                "the folder of pipelines cannot be read: set paths.pipelines or MARTLET_PIPELINES to one that exists")
        }
        let folder = directory.hasSuffix("/") ? directory : directory + "/"
        return names.filter { ($0.hasSuffix(".yaml") || $0.hasSuffix(".yml")) && !$0.hasPrefix(".") }.sorted()
            .map { folder + $0 }
    }
}
