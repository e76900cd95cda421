import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct ParameterTests {
    private let values: [String: JSONValue] = [
        "n": 3, "rate": 0.25, "name": "x", "list": [1, 2], "none": nil, "run.id": "r1", "object": ["b": 1, "a": true],
    ]

    @Test(
        arguments: [
            ("${n}", .int(3)), ("${list}", [1, 2]), ("${none}", nil), ("n=${n}", "n=3"), ("${n}${name}", "3x"),
            ("${rate}/${object}", "0.25/{\"a\":true,\"b\":1}"), ("$${n}", "${n}"), ("$$${n}", "$${n}"),
            ("$n {n} $", "$n {n} $"),
            ("a $${x} ${run.id}", "a ${x} r1"), ("", ""), ("ü${name}é", "üxé"),
        ] as [(String, JSONValue)])
    func stringsAreFilled(_ text: String, _ expected: JSONValue) throws {
        #expect(try ParameterTemplate(text).filled(with: values) == expected)
    }

    @Test func fillingGoesAllTheWayDown() throws {
        let filled = try ParameterTemplate.fill(
            ["a": ["${n}", ["k": "v-${name}"]], "${n}": true, "x": 1.5], with: values)
        #expect(filled == ["a": [3, ["k": "v-x"]], "${n}": true, "x": 1.5])
    }

    @Test func builtInNamesAreThereForEveryRun() {
        let values = ParameterTemplate.values(
            parameters: ["a": 1], run: RunID("r1"), pipeline: "p", eventSource: "s", eventID: "e")
        #expect(values == ["a": 1, "run.id": "r1", "pipeline.name": "p", "event.source": "s", "event.id": "e"])
        #expect(ParameterTemplate.builtIns.allSatisfy { values[$0] != nil })
    }

    @Test func faultsNameThePlace() {
        let unknown = refusal { () throws(PipelineError) in
            try ParameterTemplate.fill(["a": [["b": "${nme}"]]], with: values)
        }
        #expect(unknown == "parameter a[0].b: ${nme} refers to no parameter of this run: did you mean \"name\"?")
        for text in ["${", "${}", "${a b}", "${.a}", "x${n"] {
            #expect(refusal { () throws(PipelineError) in try ParameterTemplate(text) } != nil, "\(text)")
        }
    }

    @Test func overridesKeepTheDeclaredTypes() throws {
        let declared: [String: JSONValue] = ["rate": 0.1, "steps": 10, "any": nil, "flag": true]
        let resolved = try RunParameters.resolve(
            declared: declared, overrides: ["rate": 3, "any": ["x": 1], "steps": 20.0])
        #expect(resolved == ["rate": 3.0, "steps": 20.0, "any": ["x": 1], "flag": true])
        #expect(try RunParameters.resolve(declared: declared, overrides: [:]) == declared)
    }

    @Test func everyBadOverrideIsNamed() {
        let message = refusal { () throws(PipelineError) in
            try RunParameters.resolve(
                declared: ["rate": 0.1, "steps": 10, "any": nil, "flag": true],
                overrides: ["stps": 1, "steps": 1.5, "flag": "yes", "rate": nil])
        }
        #expect(
            message == "parameter \"flag\" must be a boolean, as its default is, not a string; "
                + "parameter \"rate\" must be a number, as its default is, not null; "
                + "parameter \"steps\" must be an integer, as its default is, not a number; "
                + "there is no parameter \"stps\" (did you mean \"steps\"?); "
                + "the pipeline declares any (any), flag (boolean), rate (number), steps (integer)")
        let none = refusal { () throws(PipelineError) in try RunParameters.resolve(declared: [:], overrides: ["a": 1]) }
        #expect(none == "there is no parameter \"a\"; the pipeline declares no parameters")
    }

    @Test func cacheKeysDoNotDependOnOrderOrSpelling() {
        let first = CacheKey.text(
            stageKind: "ingest", version: "1", inputDigests: ["a": "x", "b": "y"],
            parameters: ["p": 1, "q": ["r": 2.0]])
        let second = CacheKey.text(
            stageKind: "ingest", version: "1", inputDigests: ["b": "y", "a": "x"],
            parameters: ["q": ["r": 2], "p": 1.0])
        #expect(first == second)
        #expect(
            first
                == #"{"format":1,"inputs":{"a":"x","b":"y"},"kind":"ingest","parameters":{"p":1,"q":{"r":2}},"version":"1"}"#
        )
        #expect(
            first
                != CacheKey.text(
                    stageKind: "ingest", version: "2", inputDigests: ["a": "x", "b": "y"], parameters: ["p": 1]))
    }

    @Test func nearestNames() {
        #expect(Suggestion.nearest(to: "trian", in: ["train", "drain"]) == "train")
        #expect(Suggestion.nearest(to: "TIMEOUT", in: ["timeout"]) == "timeout")
        #expect(Suggestion.nearest(to: "banana", in: ["train", "ingest"]) == nil)
        #expect(Suggestion.nearest(to: "x", in: [String]()) == nil)
        #expect(Suggestion.advice(for: "q", in: [String](), plural: "pipelines") == "there are no pipelines")
    }
}
