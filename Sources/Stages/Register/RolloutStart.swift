import Ledger
import Pipeline
import StageSupport
import WorkerRuntime

/// The beginning of a rollout, as a register stage asks for it: `rollout: true`, or a mapping with the policy.
struct RolloutStart {
    private let policy: RolloutPolicy

    /// Nil when the stage asks for none.
    init?(_ value: JSONValue?, stage: String) throws {
        switch value {
        case nil, .bool(false)?: return nil
        case .bool(true)?: policy = RolloutPolicy()
        case .object(let members)?:
            if let isEnabled = members["enabled"] {
                guard let isEnabled = isEnabled.boolValue else {
                    throw StageFailure(
                        .permanent, "register.rollout", "rollout.enabled of stage \(stage) must be true or false")
                }
                guard isEnabled else { return nil }
            }
            if let problem = RolloutPolicy.problem(in: .object(members)) {
                throw StageFailure(
                    .permanent, "register.rollout", "the rollout that stage \(stage) asks for cannot be: \(problem)")
            }
            policy = RolloutPolicy(json: .object(members))
        default:
            throw StageFailure(
                .permanent, "register.rollout",
                "the parameter rollout of stage \(stage) must be true, false or a mapping with the policy")
        }
    }

    /// Starts it, once per run.
    func start(
        _ ledger: Ledger, _ context: StageContext, model: String, candidate: String, baseline: String
    ) async throws {
        let run = context.payload.run
        let key = "register/\(model)/rollout"
        if case .done = try await ledger.claimEffect(run: run, key: key, token: context.token) {
            context.log.line("the rollout was seen to before")
            return
        }
        let id = "\(model)-\(candidate)-\(run)"
        do {
            try await ledger.startRollout(
                id: id, model: model, candidate: candidate, baseline: baseline, policy: policy, actor: "run \(run)")
            context.log.line("rollout \(id) begins")
        } catch let error as LedgerError where error.code == .refused {
            // An attempt before this one may have started it and not got to say so.
            let isOurs = try await ledger.rolloutsAlive().contains { $0.id == id }
            context.log.line(
                isOurs ? "rollout \(id) has begun" : "version \(candidate) waits as the challenger: \(error)")
        }
        try await ledger.recordEffect(
            run: run, key: key, token: context.token, succeeded: true, outcome: .object(["rollout": .string(id)]))
    }
}
