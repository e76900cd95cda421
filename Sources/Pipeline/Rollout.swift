/// How a version takes over from another, step by step.
package struct RolloutPolicy: Hashable, Sendable {
    /// Parts of the requests, from 0 to 1, growing; the last one is 1.
    package var steps: [Double] = [0.01, 0.05, 0.25, 0.5, 1]
    /// The part of the requests whose copies the new version answers, for nobody, in a step before the first; 0 for none.
    package var mirror = 0.0
    /// Answers of the new version that a step needs at least, and seconds that it takes at least: both.
    package var minimumSamples = 100
    package var minimumSeconds = 60.0
    /// Seconds after which a step that is still undecided is taken for a failure.
    package var deadline = 3_600.0
    /// The probability of a wrong verdict, of each metric, over the whole rollout.
    package var alpha = 0.01
    /// Held-out answers on which both versions are compared; 0 for none.
    package var probes = 48
    /// How much worse the new version may be.
    package var margins = RolloutMargins()

    package init() {}

    /// The part of the requests that the new version answers, in every step: none in the one with copies.
    package var shares: [Double] { mirror > 0 ? [0] + steps : steps }

    /// Seconds.
    private static let longest = 1e7

    /// What is wrong with it; nil when nothing is.
    package var problem: String? {
        if steps.isEmpty || steps.last != 1 { return "the last step must be 1, all requests" }
        if zip(steps, steps.dropFirst()).contains(where: { $0 >= $1 }) || steps[0] <= 0 {
            return "steps must grow, from above 0"
        }
        if steps.count < 2 { return "a step below 1 must come first: versions are compared while both of them serve" }
        if !(2...1_000_000_000).contains(minimumSamples) { return "a step needs from 2 to 1000000000 samples" }
        if !(minimumSeconds >= 0 && minimumSeconds <= Self.longest) { return "the minimum time is no sensible time" }
        if !(deadline > minimumSeconds && deadline <= Self.longest) {
            return "the deadline must be after the minimum time, and within 10000000 seconds"
        }
        if !(alpha > 0 && alpha < 0.5) { return "alpha must be between 0 and 0.5" }
        if !(mirror >= 0 && mirror <= 1) { return "the mirrored part must be from 0 to 1" }
        if !(0...10_000).contains(probes) { return "there may be from 0 to 10000 probes" }
        let all = [
            margins.quality, margins.errors, margins.empty, margins.truncated, margins.firstToken, margins.perToken,
            margins.length,
        ]
        if all.contains(where: { !($0 > 0 && $0 <= 1_000) }) { return "margins must be above 0, and 1000 at most" }
        return nil
    }
}

/// How much worse a version may be, of each metric.
package struct RolloutMargins: Hashable, Sendable {
    /// Parts of the requests, added.
    package var errors = 0.02
    package var empty = 0.02
    /// Answers that ended for their length.
    package var truncated = 0.15
    /// Parts of the old version's mean: 0.5 allows 1.5 times as much.
    package var firstToken = 0.5
    package var perToken = 0.3
    /// Of the answers' length, in either direction.
    package var length = 0.5
    /// Of the loss on held-out answers, in nats a token, added: 0.1 is a perplexity higher by a tenth.
    package var quality = 0.1

    package init() {}
}

/// Where a rollout stands.
package enum RolloutState: String, Hashable, Sendable, CaseIterable {
    case running
    /// Its share stays as it is, and nothing is decided.
    case paused
    /// The new version is the champion.
    case promoted
    /// It was worse, or nothing could be said of it in time.
    case rolledBack = "rolled_back"
    /// Somebody ended it.
    case aborted

    package var isOver: Bool { self != .running && self != .paused }
}

/// A version on its way.
package struct Rollout: Hashable, Sendable {
    package var id: String
    package var model: String
    /// The version that is to take over.
    package var candidate: String
    /// The one that serves.
    package var baseline: String
    package var state: RolloutState
    package var policy: RolloutPolicy
    /// Which of the policy's steps.
    package var step: Int
    package var startedAt: Timestamp
    package var stepStartedAt: Timestamp
    package var finishedAt: Timestamp?
    package var reason: String?

    package init(
        id: String, model: String, candidate: String, baseline: String, state: RolloutState, policy: RolloutPolicy,
        step: Int, startedAt: Timestamp, stepStartedAt: Timestamp, finishedAt: Timestamp?, reason: String?
    ) {
        self.id = id
        self.model = model
        self.candidate = candidate
        self.baseline = baseline
        self.state = state
        self.policy = policy
        self.step = step
        self.startedAt = startedAt
        self.stepStartedAt = stepStartedAt
        self.finishedAt = finishedAt
        self.reason = reason
    }

    /// The part of the requests that the candidate gets.
    package var share: Double { state.isOver ? 0 : reached }

    /// The part that it has in its step, over or not.
    package var reached: Double { policy.shares[min(step, policy.shares.count - 1)] }

    /// The part of the requests whose copies the candidate answers.
    package var mirrored: Double { !state.isOver && step == 0 ? policy.mirror : 0 }
}

/// What two versions lose on one held-out answer, in nats a token.
package struct RolloutProbe: Hashable, Sendable {
    /// Its number among the held-out answers.
    package var example: Int
    package var candidate: Double
    package var baseline: Double

    package init(example: Int, candidate: Double, baseline: Double) {
        self.example = example
        self.candidate = candidate
        self.baseline = baseline
    }
}

/// What one version did with requests of one size.
package struct RolloutSums: Hashable, Sendable {
    /// Requests that ended with an answer or an error of the model server; those that clients left are no word on it.
    package var requests = 0
    package var errors = 0
    package var empty = 0
    package var truncated = 0
    /// Seconds from sending to the first byte.
    package var firstToken = Moments()
    /// Seconds for each token after the first.
    package var perToken = Moments()
    /// Tokens.
    package var length = Moments()

    package init() {}

    package static func += (left: inout RolloutSums, right: RolloutSums) {
        left.requests += right.requests
        left.errors += right.errors
        left.empty += right.empty
        left.truncated += right.truncated
        left.firstToken += right.firstToken
        left.perToken += right.perToken
        left.length += right.length
    }

    /// Sizes of prompts are told apart by these bounds, in tokens, so that a version that happens to get longer prompts
    /// is not taken for a slower one.
    package static let strata = [64, 256, 1_024]

    package static func stratum(promptTokens: Int) -> Int {
        strata.firstIndex { promptTokens <= $0 } ?? strata.count
    }
}
