import Foundation
import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct GateTests {
    private func decide(_ rule: JSONValue, _ metrics: JSONValue) throws -> GateResult {
        let decision = try GatePolicy(json: ["rules": [rule]]).evaluate(metrics: metrics)
        #expect(decision.isAccepted == (decision.results.first?.passed ?? false))
        return try #require(decision.results.first)
    }

    @Test func anAbsoluteRuleTellsByHowMuchItFailed() throws {
        let policy = try GatePolicy(json: [
            "rules": [
                ["metric": "candidate.perplexity", "max": 20], ["metric": "token_accuracy", "min": 0.4],
                ["metric": "empty_rate", "max": 0.1],
            ]
        ])
        let decision = policy.evaluate(metrics: [
            "candidate": ["perplexity": 812.4, "token_accuracy": 0.125, "empty_rate": 0.1]
        ])
        #expect(!decision.isAccepted)
        #expect(
            decision.failureSummary
                == "perplexity 812.4 is above 20.0 by 792.4; token_accuracy 0.125 is below 0.4 by 0.275")
        #expect(decision.results.map(\.passed) == [false, false, true])
        #expect(decision.results[0].margin == 20 - 812.4)
        #expect(decision.results[2].margin == 0)
        #expect(decision.results[2].explanation == "empty_rate 0.1 is at most 0.1")
        #expect(decision.results.map(\.rule) == ["perplexity max", "token_accuracy min", "empty_rate max"])
    }

    @Test func relativeRules() throws {
        let metrics: JSONValue = [
            "candidate": ["perplexity": 15, "accuracy": 0.5], "base": ["perplexity": 20, "accuracy": 0.4],
            "champion": ["perplexity": 14.9, "accuracy": 0.51],
        ]
        let ratio = try decide(["metric": "perplexity", "max_ratio_to": "base", "ratio": 0.7], metrics)
        #expect(!ratio.passed && ratio.threshold == 14 && ratio.reference == 20)
        #expect(ratio.explanation == "perplexity 15.0 is above 14.0 by 1.0 (0.7 × the base's 20.0)")
        #expect(try decide(["metric": "accuracy", "min_ratio_to": "base", "ratio": 1.25], metrics).passed)
        let improved = try decide(["metric": "perplexity", "min_improvement_over": "base", "fraction": 0.25], metrics)
        #expect(improved.passed && improved.comparison == .atMost)
        #expect(improved.explanation == "perplexity 15.0 is at most 15.0 (25.0 % better than the base's 20.0)")
        #expect(try !decide(["metric": "accuracy", "min_improvement_over": "base", "fraction": 0.3], metrics).passed)
        #expect(try decide(["metric": "perplexity", "no_worse_than": "champion", "tolerance": 0.01], metrics).passed)
        #expect(try !decide(["metric": "perplexity", "no_worse_than": "champion"], metrics).passed)
        let amount: JSONValue = [
            "metric": "accuracy", "no_worse_than": "champion", "absolute_tolerance": 0.02, "better": "higher",
        ]
        #expect(try decide(amount, metrics).passed)
    }

    @Test func improvementOfNegativeAndZeroReferences() throws {
        let rule: JSONValue = ["metric": "x", "min_improvement_over": "base", "fraction": 0.5, "better": "higher"]
        #expect(try decide(rule, ["candidate": ["x": -1], "base": ["x": -2]]).passed)
        #expect(try !decide(rule, ["candidate": ["x": -1.1], "base": ["x": -2]]).passed)
        let ceiling: JSONValue = ["metric": "x", "max_ratio_to": "base", "ratio": 2]
        #expect(try decide(ceiling, ["candidate": ["x": 0], "base": ["x": 0]]).passed)
        #expect(try !decide(ceiling, ["candidate": ["x": 0.01], "base": ["x": 0]]).passed)
    }

    @Test func whatIsMissingOrNotFiniteFails() throws {
        let rule: JSONValue = ["metric": "loss", "max": 3]
        for (metrics, explanation) in [
            (["candidate": [:]], "loss is missing"), ([:], "loss is missing"),
            (["candidate": ["loss": nil]], "loss is not a finite number"),
            (["candidate": ["loss": .double(.nan)]], "loss is not a finite number"),
            (["candidate": ["loss": .double(-.infinity)]], "loss is not a finite number"),
            (["candidate": ["loss": "2"]], "loss is not a finite number"),
        ] as [(JSONValue, String)] {
            let result = try decide(rule, metrics)
            #expect(result.status == .failed && result.explanation == explanation && result.observed == nil)
            #expect(result.threshold == 3)
        }
        let relative: JSONValue = ["metric": "loss", "max_ratio_to": "base", "ratio": 0.9]
        #expect(
            try decide(relative, ["candidate": ["loss": 1]]).explanation
                == "the base model has no finite loss to compare with")
        #expect(try decide(relative, ["candidate": ["loss": 1], "base": ["loss": .double(1e308)]]).passed)
        let huge: JSONValue = ["metric": "loss", "max_ratio_to": "base", "ratio": 100]
        #expect(try !decide(huge, ["candidate": ["loss": 1], "base": ["loss": .double(1e308)]]).passed)
    }

    @Test func withoutAChampionItsRulesDoNotApply() throws {
        let rule: JSONValue = ["metric": "loss", "no_worse_than": "champion", "tolerance": 0.02]
        for metrics in [["candidate": ["loss": 1]], ["candidate": ["loss": 1], "champion": nil]] as [JSONValue] {
            let result = try decide(rule, metrics)
            #expect(result.status == .notApplicable && result.passed)
            #expect(result.explanation == "loss is not compared: there is no champion yet")
        }
        #expect(try !decide(rule, ["candidate": ["loss": 1], "champion": [:]]).passed)
    }

    @Test func metricsMayBeNested() throws {
        let metrics: JSONValue = ["candidate": ["generation": ["rouge_l": ["mean": 0.2]], "a.b": 7]]
        #expect(try decide(["metric": "candidate.generation.rouge_l.mean", "min": 0.2], metrics).observed == 0.2)
        #expect(try decide(["metric": "a.b", "min": 7], metrics).observed == 7)
    }

    @Test(
        arguments: [
            ([:], "the gate needs rules: a list such as [{metric: perplexity, max: 20}]"),
            (["rules": []], "the gate has no rules: name at least one, such as {metric: perplexity, max: 20}"),
            (["rule": []], "the gate has no key \"rule\": did you mean \"rules\"?"),
            ([1], "the gate must be an object with rules, not array"),
            (["rules": [["max": 2]]], "gate rule 1 needs a metric, such as candidate.perplexity"),
            (
                ["rules": [["name": "a%b", "metric": "loss", "max": 1]]],
                "gate rule 1 (a%b) has a name that is not of 1 to 100 letters, digits, spaces and -_./"
            ),
            (
                ["rules": [["metric": "loss"]]],
                "gate rule 1 (loss) has no condition: give exactly one of max, min, max_ratio_to, min_ratio_to, "
                    + "min_improvement_over, no_worse_than"
            ),
            (
                ["rules": [["metric": "loss", "max": 1, "min": 0]]],
                "gate rule 1 (loss) has the conditions max and min: give exactly one of max, min, max_ratio_to, "
                    + "min_ratio_to, min_improvement_over, no_worse_than"
            ),
            (
                ["rules": [["metric": "loss", "max": "3"]]],
                "gate rule 1 (loss) has max: \"3\", which is not a number"
            ),
            (["rules": [["metric": "loss", "max_ratio_to": "base"]]], "gate rule 1 (loss) needs ratio: a number"),
            (
                ["rules": [["metric": "loss", "max_ratio_to": "bse", "ratio": 1]]],
                "gate rule 1 (loss) has max_ratio_to: \"bse\": compare with base or champion"
            ),
            (
                ["rules": [["metric": "loss", "max": 1, "tolerence": 1]]],
                "gate rule 1 (loss) has the key \"tolerence\", which does not belong there: the keys are max, "
                    + "max_ratio_to, metric, min, min_improvement_over, min_ratio_to, name, no_worse_than"
            ),
            (
                ["rules": [["metric": "blub", "no_worse_than": "base"]]],
                "gate rule 1 (blub) does not say which way blub is better: add better: lower or better: higher"
            ),
            (
                ["rules": [["metric": "loss", "max": 1], ["metric": "loss", "max": 2]]],
                "the gate has two rules named \"loss max\": give each its own name"
            ),
        ] as [(JSONValue, String)])
    func wrongPoliciesAreRefused(_ json: JSONValue, _ message: String) {
        #expect(refusal { () throws(PipelineError) in try GatePolicy(json: json) } == message)
    }

    @Test func decisionsSurviveJSON() throws {
        let decision = try GatePolicy(json: [
            "rules": [["metric": "loss", "max": 1], ["name": "c", "metric": "loss", "no_worse_than": "champion"]]
        ]).evaluate(metrics: ["candidate": ["loss": 2]])
        #expect(GateDecision(json: decision.json) == decision)
        let coded = try JSONEncoder().encode(decision)
        #expect(try JSONDecoder().decode(GateDecision.self, from: coded) == decision)
        #expect(try JSONDecoder().decode(JSONValue.self, from: coded).canonicalJSON == decision.json.canonicalJSON)
        #expect(GateDecision(json: ["accepted": true]) == nil)
    }
}
