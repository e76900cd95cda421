import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct PipelineProblemTests {
    private func problems(_ stages: [StageSpec], parameters: [String: JSONValue] = [:]) -> [String] {
        PipelineSpec(name: "p", parameters: parameters, stages: stages).problems().map(\.description)
    }

    @Test func aGoodPipelineHasNoProblems() {
        let stages: [StageSpec] = [
            .noop("a"), .noop("b", needs: ["a"]), .noop("c", needs: ["a"]), .noop("d", needs: ["b", "c"]),
            .noop("e", needs: ["d"], when: .always),
        ]
        #expect(problems(stages) == [])
    }

    @Test func aCycleIsNamed() {
        #expect(
            problems([.noop("a", needs: ["b"]), .noop("b", needs: ["a"])]) == [
                "stages[1].needs[0]: the stages need each other in a cycle, a → b → a: take one need out"
            ])
        #expect(
            problems([
                .noop("start"), .noop("a", needs: ["start", "c"]), .noop("b", needs: ["a"]), .noop("c", needs: ["b"]),
                .noop("x", needs: ["y"]), .noop("y", needs: ["x"]),
            ]) == [
                "stages[2].needs[0]: the stages need each other in a cycle, a → c → b → a: take one need out",
                "stages[5].needs[0]: the stages need each other in a cycle, x → y → x: take one need out",
            ])
    }

    @Test func needsAreChecked() {
        #expect(
            problems([
                .noop("preprocess"), .noop("train", needs: ["preproces", "train", "preprocess", "preprocess"]),
                .noop("tell", needs: ["nobody-knows-it"], when: .always), .noop("after", needs: ["tell"]),
            ]) == [
                "stages[1].needs[0]: stage \"train\" needs \"preproces\", which is not a stage of this pipeline: "
                    + "did you mean \"preprocess\"?",
                "stages[1].needs[1]: stage \"train\" needs itself: take it out of its needs",
                "stages[1].needs[3]: stage \"train\" needs \"preprocess\" twice: name it once",
                "stages[2].needs[0]: stage \"tell\" needs \"nobody-knows-it\", which is not a stage of this pipeline: "
                    + "the other stages are after, preprocess, train",
                "stages[3].needs[0]: stage \"after\" runs on-success but needs \"tell\", which runs always, after the "
                    + "run's outcome is known: let \"after\" run always too, or take the need out",
            ])
    }

    @Test func namesAndKindsAreChecked() {
        let spec = PipelineSpec(
            name: "Bad Name", parameters: ["9lives": 1],
            stages: [StageSpec(name: "-x", kind: "trian", pool: "GPU"), .noop("twice"), .noop("twice")], priority: 101)
        #expect(
            spec.problems().map(\.description) == [
                "name: \"Bad Name\" cannot be a pipeline's name: use lower-case letters, digits and dashes, at most 63, "
                    + "with a letter or a digit at both ends",
                "priority: the priority 101 is out of range: use -100 to 100",
                "parameters.9lives: \"9lives\" cannot be a parameter's name: use letters, digits, _ and -, at most 63, "
                    + "beginning with a letter or _",
                "stages[0].name: \"-x\" cannot be a stage's name: use lower-case letters, digits, - and _, at most 63, "
                    + "with a letter or a digit at both ends",
                "stages[0].kind: \"trian\" is not a kind of stage: did you mean \"train\"?",
                "stages[0].pool: \"GPU\" cannot be a pool's name: use lower-case letters, digits, - and _, at most 63, "
                    + "with a letter or a digit at both ends",
                "stages[2].name: there are two stages named \"twice\": give each its own name",
            ])
    }

    @Test func boundsAreChecked() {
        var stage = StageSpec.noop("a")
        stage.timeoutSeconds = 0.5
        stage.retry = RetryPolicy(
            maximumAttempts: 0, initialDelaySeconds: -1, multiplier: 0.5, maximumDelaySeconds: 90_000)
        #expect(
            problems([stage]) == [
                "stages[0].timeout: a timeout of 0.5 s is out of range: use 1s to 7d",
                "stages[0].retries.attempts: 0 attempts are out of range: use 1 to 100",
                "stages[0].retries.initial_delay: a first delay of -1.0 s is out of range: use 0s to 24h",
                "stages[0].retries.multiplier: a multiplier of 0.5 is out of range: use 1 to 100",
                "stages[0].retries.max_delay: a longest delay of 90000.0 s is out of range: use 0s to 24h",
            ])
        stage = .noop("a")
        stage.timeoutSeconds = .nan
        #expect(problems([stage]).count == 1)
        let chain = (0..<501).map { StageSpec.noop("s\($0)", needs: $0 == 0 ? [] : ["s\($0 - 1)"]) }
        #expect(
            problems(chain) == [
                "stages: 501 stages are more than the 500 that a pipeline may have: split it into several pipelines"
            ])
        #expect(problems(Array(chain.prefix(500))) == [])
    }

    @Test func aPipelineNeedsAStageThatCounts() {
        #expect(problems([]) == ["stages: a pipeline needs at least one stage"])
        #expect(
            problems([.noop("a", when: .always)]) == [
                "stages: every stage runs always, so nothing decides how a run ends: let at least one stage run on-success"
            ])
    }

    @Test func referencesAreChecked() {
        var stage = StageSpec.noop("a")
        stage.parameters = [
            "lr": "${learning_rat}", "list": ["${run.id}", "a ${nowhere} b"], "open": "x ${", "odd": "${a b}",
            "shell": "$${HOME} $5",
        ]
        #expect(
            problems([stage], parameters: ["learning_rate": 0.1]) == [
                "stages[0].parameters.list[1]: ${nowhere} refers to no parameter of this pipeline: the references are "
                    + "event.id, event.source, learning_rate, pipeline.name, run.id; for the text itself write $${nowhere}",
                "stages[0].parameters.lr: ${learning_rat} refers to no parameter of this pipeline: did you mean "
                    + "\"learning_rate\"? For the text itself write $${learning_rat}",
                "stages[0].parameters.odd: \"${a b}\" is not a reference: write ${name} with the name of a parameter, "
                    + "or $${ for the text ${",
                "stages[0].parameters.open: \"${\" has no closing brace: write ${name}, or $${ for the text ${",
            ])
    }

    @Test func gatesAreChecked() {
        var stage = StageSpec(name: "judge", kind: "evaluate")
        stage.parameters = ["gate": ["rules": [["metric": "loss", "mx": 3]]]]
        #expect(
            problems([stage]) == [
                "stages[0].parameters.gate: gate rule 1 (loss) has the key \"mx\", which does not belong there: "
                    + "did you mean \"max\"?"
            ])
        stage.parameters = ["gate": ["rules": [["metric": "loss", "max": "${limit}"]]]]
        #expect(problems([stage], parameters: ["limit": 3]) == [])
        #expect(problems([stage], parameters: ["limit": nil]) == [])
        #expect(
            problems([stage], parameters: ["limit": "x"]) == [
                "stages[0].parameters.gate: gate rule 1 (loss) has max: \"x\", which is not a number"
            ])
    }

    @Test func schedulesAreChecked() {
        let spec = PipelineSpec(
            name: "p", parameters: ["n": 1], stages: [.noop("a")],
            schedules: [
                ScheduleSpec(name: "x", cron: "61 * * * *"), ScheduleSpec(name: "x", cron: "0 0 31 2 *"),
                ScheduleSpec(name: "y", cron: "@daily", parameters: ["n": "1", "m": 2]),
            ])
        #expect(
            spec.problems().map(\.description) == [
                "schedules[0].cron: the minute \"61\" is out of range: use 0 to 59, ranges as a-b, steps as */n, "
                    + "lists with commas",
                "schedules[1].name: there are two schedules named \"x\": give each its own name",
                "schedules[1].cron: \"0 0 31 2 *\" names a day that no year has",
                "schedules[2].parameters.m: there is no parameter \"m\"; "
                    + "the pipeline declares n (integer)",
                "schedules[2].parameters.n: parameter \"n\" must be an integer, as its default is, not a string; "
                    + "the pipeline declares n (integer)",
            ])
    }
}
