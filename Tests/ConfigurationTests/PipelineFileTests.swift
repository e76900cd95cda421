import Configuration
import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct PipelineFileTests {
    private func problems(_ yaml: String) -> [String] {
        let text = refusal { () throws(ConfigurationError) in try PipelineFile.parse(yaml: yaml, name: "p.yaml") }
        return text?.split(separator: "\n").map(String.init) ?? []
    }

    @Test func everyKeyIsRead() throws {
        let spec = try PipelineFile.parse(
            yaml: """
                name: full
                description: all of it
                priority: -5
                parameters: {rate: 1e-3, names: [a, b], text: "5", nothing: null, flag: true}
                schedules:
                  - {name: nightly, cron: "30 2 * * *", parameters: {rate: 1}}
                stages:
                  - name: fetch
                    kind: command
                    pool: io
                    timeout: 1h30m
                    retries: {attempts: 7, initial_delay: 500ms, multiplier: 1.5, max_delay: 90}
                    ack: on-claim
                    cache: true
                    parameters: {command: ["echo", "${rate}"], no: no, on: on, octal: 010, hex: 0x1F, date: 2026-01-01}
                  - name: noop
                    needs: fetch
                  - name: tell
                    kind: notify
                    when: always
                    needs: [fetch, noop]
                    timeout: 45
                """, name: "x/y.yaml")
        #expect(spec.name == "full" && spec.description == "all of it" && spec.priority == -5)
        #expect(spec.parameters == ["rate": 0.001, "names": ["a", "b"], "text": "5", "nothing": nil, "flag": true])
        #expect(spec.schedules == [ScheduleSpec(name: "nightly", cron: "30 2 * * *", parameters: ["rate": 1])])
        let fetch = StageSpec(
            name: "fetch", kind: "command", pool: "io", timeoutSeconds: 5_400,
            retry: RetryPolicy(maximumAttempts: 7, initialDelaySeconds: 0.5, multiplier: 1.5, maximumDelaySeconds: 90),
            ackPolicy: .onClaim, cache: true,
            parameters: [
                "command": ["echo", "${rate}"], "no": "no", "on": "on", "octal": 10, "hex": 31, "date": "2026-01-01",
            ])
        #expect(spec.stages[0] == fetch)
        #expect(spec.stages[1] == StageSpec(name: "noop", kind: "noop", needs: ["fetch"]))
        #expect(
            spec.stages[2]
                == StageSpec(
                    name: "tell", kind: "notify", needs: ["fetch", "noop"], condition: .always, timeoutSeconds: 45))
    }

    @Test func theFileNamesThePipeline() throws {
        #expect(try PipelineFile.parse(yaml: "stages: [{name: noop}]", name: "a/b/night-run.yaml").name == "night-run")
        #expect(problems("name: Über\nstages: [{name: noop}]").count == 1)
    }

    @Test func allProblemsAreToldInTheOrderOfTheirPlaces() {
        let yaml = """
            priority: high
            stages:
              - name: a
                kind: nop
                needs: [c]
                timout: 3
              - name: b
                kind: noop
                needs: [a, nowhere]
                when: sometimes
              - name: c
                kind: noop
                needs: [b]
                timeout: soon
                retries: {attempts: 0, delay: 3}
                parameters:
                  x: ["${lr}"]
            schedule: []
            """
        #expect(
            problems(yaml) == [
                "p.yaml:1:11: priority of the pipeline must be a whole number, not \"high\"",
                "p.yaml:4:11: \"nop\" is not a kind of stage: did you mean \"noop\"?",
                "p.yaml:6:5: a stage has no key \"timout\": did you mean \"timeout\"?",
                "p.yaml:9:13: the stages need each other in a cycle, a → c → b → a: take one need out",
                "p.yaml:9:16: stage \"b\" needs \"nowhere\", which is not a stage of this pipeline: "
                    + "the other stages are a, c",
                "p.yaml:10:11: when of a stage must be on-success or always, not \"sometimes\"",
                "p.yaml:14:14: timeout of a stage must be a length of time, such as 90s, 15m, 2h or a number of seconds, "
                    + "not \"soon\"",
                "p.yaml:15:25: 0 attempts are out of range: use 1 to 100",
                "p.yaml:15:28: retries has no key \"delay\": the keys are attempts, initial_delay, max_delay, multiplier",
                "p.yaml:17:11: ${lr} refers to no parameter of this pipeline: the references are event.id, event.source, "
                    + "pipeline.name, run.id; for the text itself write $${lr}",
                "p.yaml:18:1: the pipeline has no key \"schedule\": did you mean \"schedules\"?",
            ])
    }

    @Test func aCycleIsRefusedWithItsLine() {
        let yaml = "name: p\nstages:\n  - {name: a, kind: noop, needs: [b]}\n  - {name: b, kind: noop, needs: [a]}\n"
        #expect(
            problems(yaml) == ["p.yaml:4:35: the stages need each other in a cycle, a → b → a: take one need out"])
    }

    @Test(
        arguments: [
            ("", "p.yaml:1:1: the file is empty"),
            ("- a\n- b\n", "p.yaml:1:1: the pipeline must be a mapping, not a list"),
            ("name: p\n", "p.yaml:1:1: a pipeline needs at least one stage"),
            (
                "name: p\nname: q\nstages: []\n",
                "p.yaml:1:1: the key \"name\" is given more than once in this mapping, "
                    + "first here: keep one"
            ),
            ("a: *nowhere\n", "p.yaml:1:4: not valid YAML: found undefined alias"),
            (
                "stages: [\n",
                "p.yaml:2:1: not valid YAML: did not find expected node content (while parsing a flow node)"
            ),
            ("a: b: c\n", "p.yaml:1:5: not valid YAML: mapping values are not allowed in this context"),
            (
                "stages: [{name: noop, parameters: {x: .nan}}]",
                "p.yaml:1:39: .nan is not a finite number: write a number, "
                    + "or quotes around a text"
            ),
            (
                "stages: [{name: noop, parameters: {x: !ruby 1}}]",
                "p.yaml:1:39: the tag !ruby is not known: leave it out"
            ),
            (
                "stages: [{name: noop, parameters: [1]}]",
                "p.yaml:1:35: parameters of a stage must be a mapping, not a list"
            ),
            (
                "a: 1\n---\nb: 2\n",
                "p.yaml:2:1: not valid YAML: but found another document "
                    + "(expected a single document in the stream)"
            ),
        ])
    func whatIsNoPipelineIsRefused(_ yaml: String, _ message: String) {
        #expect(problems(yaml).first == message)
    }

    @Test func aStageNeedsAName() {
        #expect(
            problems("stages: [{kind: noop}, {name: noop}]") == [
                "p.yaml:1:10: a stage needs a name: lower-case letters, digits, - and _"
            ])
    }

    @Test func anchorsAndMergesAreFollowed() throws {
        let spec = try PipelineFile.parse(
            yaml: """
                parameters: &common {a: 1, b: 2}
                stages:
                  - &first
                    name: one
                    kind: noop
                    timeout: 5m
                    parameters: *common
                  - <<: *first
                    name: two
                    parameters: {<<: *common, b: 3}
                """, name: "p.yaml")
        #expect(spec.stages[1].name == "two" && spec.stages[1].timeoutSeconds == 300)
        #expect(spec.stages[1].parameters == ["a": 1, "b": 3])
        #expect(spec.stages[0].parameters == ["a": 1, "b": 2])
    }

    @Test func bombsAreDefused() {
        var yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...20 {
            yaml +=
                "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ") + "]\n"
        }
        #expect(
            problems(yaml).first?.hasSuffix("with its aliases followed the file has more than 100000 values") == true)
        #expect(
            problems(yaml + "? *a20\n: 1\n").first?.contains("in a file with aliases a key must be a plain text")
                == true)
        #expect(problems(yaml + "? [*a20, *a20]\n: 1\n").count == 1)
        #expect(problems(yaml + "x: {[*a20]: 1, [*a20]: 2}\n").count == 1)
        #expect(problems(yaml + "*a20 : 1\n").count == 1)
        #expect(problems(String(repeating: "[", count: 100_000)).count == 1)
        #expect(problems("a: " + String(repeating: "{a: ", count: 100_000)).count == 1)
        #expect(problems(String(repeating: "- ", count: 300_000)).count == 1)
        #expect(
            problems("a: " + String(repeating: "[", count: 90) + String(repeating: "]", count: 90)).first?.contains(
                "64 levels") == true)
        #expect(
            problems("# " + String(repeating: "x", count: 1 << 20)) == [
                "p.yaml: 1048578 bytes are more than the 1048576 that are read"
            ])
    }

    @Test func theListOfProblemsIsBounded() {
        let found = problems("stages: [{name: noop}]\nx: 1\n" + (0..<5_000).map { "key\($0): 1\n" }.joined())
        #expect(found.count == 201 && found.last == "p.yaml: and 4801 more problems like these")
    }

    @Test func filesThatCannotBeReadAreNamed() throws {
        #expect(
            refusal { () throws(ConfigurationError) in try PipelineFile.load(path: "/nowhere/p.yaml") }
                == "/nowhere/p.yaml: cannot be opened: No such file or directory")
        try withTemporaryFolder { folder in
            try write("name: p\u{0}\n", to: folder + "/nul.yaml")
            #expect(
                refusal { () throws(ConfigurationError) in try PipelineFile.load(path: folder + "/nul.yaml") } != nil)
            #expect(
                refusal { () throws(ConfigurationError) in try PipelineFile.load(path: folder) }
                    == "\(folder): is not a file")
        }
    }
}
