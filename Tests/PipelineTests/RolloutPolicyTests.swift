import Pipeline
import Testing

@Suite struct RolloutPolicyTests {
    @Test func comesBackAsItWasWritten() {
        var policy = RolloutPolicy()
        policy.steps = [0.1, 1]
        policy.minimumSamples = 7
        policy.minimumSeconds = 2
        policy.deadline = 30
        policy.margins.length = 0.3
        #expect(RolloutPolicy(json: policy.json) == policy && policy.problem == nil)
        #expect(RolloutPolicy(json: .object([:])) == RolloutPolicy() && RolloutPolicy().problem == nil)
    }

    @Test(
        arguments: [
            (["steps": [1]], "below 1 must come first"), (["steps": [0.5]], "the last step must be 1"),
            (["steps": [0.5, 0.2, 1]], "must grow"), (["steps": ["a"]], "list of numbers"), (["step": [1]], "no step"),
            (["minimum_samples": 1e30], "samples"), (["minimum_samples": 1], "samples"),
            (["minimum_seconds": 1e30], "minimum time"), (["deadline_seconds": 1e21], "deadline"),
            (["minimum_seconds": 60, "deadline_seconds": 10], "deadline"), (["alpha": 0.9], "alpha"),
            (["alpha": "x"], "alpha must be a number"), (["margins": ["errors": -1]], "margins"),
            (["margins": ["error": 1]], "margins.error is no margin"), (["margins": 1], "mapping"),
        ] as [(JSONValue, String)])
    func whatCannotBeIsNamed(_ json: JSONValue, message: String) throws {
        let problem = try #require(RolloutPolicy.problem(in: json))
        #expect(problem.contains(message), "\(problem)")
    }
}
