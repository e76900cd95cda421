import Pipeline

extension PipelineSpec {
    /// One stage of kind and pool `test`.
    static func single(_ change: (inout StageSpec) -> Void = { _ in }) -> PipelineSpec {
        var stage = StageSpec(name: "a", kind: "test", retry: .quick)
        change(&stage)
        return PipelineSpec(name: "p", stages: [stage])
    }
}

extension RetryPolicy {
    static let quick = RetryPolicy(
        maximumAttempts: 3, initialDelaySeconds: 0.02, multiplier: 1, maximumDelaySeconds: 0.02)
}
