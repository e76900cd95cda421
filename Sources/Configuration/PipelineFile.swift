package import Pipeline

/// A pipeline written down in YAML.
package enum PipelineFile {
    /// - Parameter knownKinds: what workers can do.
    /// - Throws: ``ConfigurationError`` with every problem as `file:line:column: message`.
    package static func load(
        path: String, knownKinds: [String] = StageSpec.builtInKinds
    ) throws(ConfigurationError) -> PipelineSpec {
        try parse(
            yaml: try TextFile.read(path, maximumBytes: YAMLDocument.maximumBytes), name: path, knownKinds: knownKinds)
    }

    /// - Parameters:
    ///   - name: of the file, for messages; without its folder and ending it is also the pipeline's name, unless
    ///     the file says another.
    ///   - knownKinds: what workers can do.
    /// - Throws: ``ConfigurationError`` with every problem as `file:line:column: message`.
    package static func parse(
        yaml: String, name: String, knownKinds: [String] = StageSpec.builtInKinds
    ) throws(ConfigurationError) -> PipelineSpec {
        let root = try YAMLDocument.parse(yaml, file: name)
        let problems = ProblemList(file: name)
        guard let reader = PipelineReader(root, file: name, problems: problems) else {
            throw ConfigurationError(.invalid, problems.sorted)
        }
        let spec = reader.spec()
        for problem in spec.problems(knownKinds: knownKinds) where !isAboutMissingName(problem, in: spec) {
            problems.report(problem.message, at: root.position(at: problem.path))
        }
        try problems.throwIfAny()
        return spec
    }

    /// What would be said of the name, the kind and the pool of a stage that has no name: that has been reported.
    private static func isAboutMissingName(_ problem: PipelineProblem, in spec: PipelineSpec) -> Bool {
        guard problem.path.count == 3, case .index(let index) = problem.path[1], case .key(let key) = problem.path[2],
            problem.path[0] == "stages", spec.stages.indices.contains(index), spec.stages[index].name.isEmpty
        else { return false }
        let stage = spec.stages[index]
        return key == "name" || key == "kind" && stage.kind.isEmpty || key == "pool" && stage.pool.isEmpty
    }

    /// The name that a file gives its pipeline.
    static func defaultName(of file: String) -> String {
        let base = file.split(separator: "/").last.map(String.init) ?? file
        for ending in [".yaml", ".yml"] where base.hasSuffix(ending) { return String(base.dropLast(ending.count)) }
        return base
    }
}
