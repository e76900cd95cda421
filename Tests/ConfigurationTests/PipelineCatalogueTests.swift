import Configuration
import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct PipelineCatalogueTests {
    @Test func aFolderOfPipelines() throws {
        try withTemporaryFolder { folder in
            try write("stages: [{name: noop}]", to: folder + "/one.yaml")
            try write("name: two\nstages: [{name: noop}]", to: folder + "/b.yml")
            try write("nonsense", to: folder + "/readme.md")
            let catalogue = try PipelineCatalogue(directory: folder)
            #expect(catalogue.pipelines.keys.sorted() == ["one", "two"])
            #expect(try catalogue.pipeline(named: "two").name == "two")
            #expect(
                refusal { () throws(ConfigurationError) in try catalogue.pipeline(named: "tow") }
                    == "\(folder): there is no pipeline \"tow\": did you mean \"two\"?")
        }
    }

    @Test func duplicatesAndBadFilesAreAllTold() throws {
        try withTemporaryFolder { folder in
            try write("stages: [{name: noop}]", to: folder + "/a.yaml")
            try write("name: a\nstages: [{name: noop}]", to: folder + "/b.yaml")
            try write("stages: []", to: folder + "/c.yaml")
            #expect(
                refusal { () throws(ConfigurationError) in try PipelineCatalogue(directory: folder) } == """
                    \(folder)/b.yaml: the pipeline "a" is also in \(folder)/a.yaml: rename one of them
                    \(folder)/c.yaml:1:9: a pipeline needs at least one stage
                    """)
            #expect(try PipelineCatalogue.load(directory: folder).catalogue.pipelines.keys.sorted() == ["a"])
        }
        #expect(
            refusal { () throws(ConfigurationError) in try PipelineCatalogue(directory: "/nowhere") }
                == "/nowhere: the folder of pipelines cannot be read: set paths.pipelines or MARTLET_PIPELINES to one that "
                + "exists")
    }

    @Test func baseModelsAreThoseOfTheDefaults() throws {
        try withTemporaryFolder { folder in
            let stages = "stages: [{name: train, parameters: {base_model: \"${model}\"}}]"
            try write("parameters: {model: small}\n" + stages, to: folder + "/a.yaml")
            try write("parameters: {model: small}\n" + stages, to: folder + "/b.yaml")
            try write("parameters: {model: null}\n" + stages, to: folder + "/c.yaml")
            #expect(try PipelineCatalogue(directory: folder).baseModels == ["small": ["a", "b"]])
        }
    }

    @Test func martletsOwnPipelinesAreGood() throws {
        let own = try PipelineCatalogue(directory: repository + "/config/pipelines")
        #expect(own.pipelines.keys.sorted() == ["security-qa", "security-qa-tinyllama"])
        for spec in own.pipelines.values {
            #expect(spec.stages.map(\.kind) == ["ingest", "preprocess", "train", "evaluate", "register", "notify"])
            let gate = try #require(spec.stage(named: "evaluate")?.parameters["gate"])
            #expect(try !GatePolicy(json: gate).rules.isEmpty)
            let values = try RunParameters.resolve(
                declared: spec.parameters, overrides: ["source": "file:///data.jsonl", "learning_rate": 10])
            for stage in spec.stages { _ = try ParameterTemplate.fill(stage.parameters, with: values) }
        }
        let examples = try PipelineCatalogue(directory: repository + "/config/pipelines/examples")
        #expect(examples.pipelines["fan-out"]?.stages.last?.needs == ["characters", "words", "digest"])
    }
}
