import Pipeline
import Testing

@testable import Rollouts

@Suite struct RolloutJudgeTests {
    /// How a version behaves.
    private struct Version {
        var errors = 0.0
        var empty = 0.0
        var truncated = 0.3
        var firstToken = 0.1
        var perToken = 0.03
        var tokens = 40.0

        func serve(_ count: Int, into sums: inout [Int: RolloutSums], _ generator: inout SeededGenerator) {
            for _ in 0..<count {
                let stratum = Int.random(in: 0..<3, using: &generator)
                // Long prompts take longer; that is the prompts' doing.
                let size = Double(stratum + 1)
                func noisy(_ mean: Double) -> Double { mean * Double.random(in: 0.5..<1.5, using: &generator) }
                var sum = RolloutSums()
                sum.requests = 1
                if Double.random(in: 0..<1, using: &generator) < errors {
                    sum.errors = 1
                } else {
                    if Double.random(in: 0..<1, using: &generator) < empty { sum.empty = 1 }
                    if Double.random(in: 0..<1, using: &generator) < truncated { sum.truncated = 1 }
                    sum.firstToken.add(noisy(firstToken * size))
                    sum.perToken.add(noisy(perToken))
                    sum.length.add(noisy(tokens))
                }
                sums[stratum, default: RolloutSums()] += sum
            }
        }
    }

    /// Requests of the candidate until there is a verdict, looking after each ten.
    private static func decide(
        _ candidate: Version, baseline: Version = Version(), most: Int = 3_000, seed: UInt64 = 7,
        _ change: (inout RolloutPolicy) -> Void = { _ in }
    ) -> (verdict: RolloutJudge.Verdict, requests: Int, summary: String) {
        var policy = RolloutPolicy()
        policy.minimumSeconds = 0
        change(&policy)
        var generator = SeededGenerator(state: seed)
        var (new, old): ([Int: RolloutSums], [Int: RolloutSums]) = ([:], [:])
        var requests = 0
        while requests < most {
            candidate.serve(10, into: &new, &generator)
            baseline.serve(30, into: &old, &generator)
            requests += 10
            let judgement = RolloutJudge.judge(
                policy, candidate: new, baseline: old, stepSamples: requests, stepSeconds: 100)
            if judgement.verdict != .inconclusive { return (judgement.verdict, requests, judgement.summary) }
        }
        return (.inconclusive, requests, "")
    }

    /// Probes of which the candidate loses so much more on average.
    private static func probes(_ count: Int, worse: Double, noise: Double = 0.2) -> [RolloutProbe] {
        var generator = SeededGenerator(state: 11)
        return (0..<count).map { index in
            // Answers differ far more among each other than the versions do on one of them.
            let hardness = Double.random(in: 1..<5, using: &generator)
            let own = worse + Double.random(in: -noise..<noise, using: &generator)
            return RolloutProbe(example: index, candidate: hardness + own, baseline: hardness)
        }
    }

    private static func quality(_ probes: [RolloutProbe], of total: Int) -> RolloutJudge.Verdict? {
        let judgement = RolloutJudge.judge(
            RolloutPolicy(), candidate: [:], baseline: [:], stepSamples: 1_000, stepSeconds: 1_000,
            quality: .probes(probes, of: total))
        return judgement.findings.first { $0.metric == "answer_loss" }?.verdict
    }

    @Test func qualityIsComparedOnTheSameAnswers() {
        #expect(Self.quality(Self.probes(9, worse: 8), of: 48) == .inconclusive)
        // Garbage is known after a few answers; what is as good takes some more.
        #expect(Self.quality(Self.probes(10, worse: 8), of: 48) == .fail)
        #expect(Self.quality(Self.probes(47, worse: 0, noise: 0.05), of: 48) == .pass)
        #expect(Self.quality(Self.probes(10, worse: 0.1), of: 48) == .inconclusive)
        // All there are leave nothing to estimate.
        #expect(Self.quality(Self.probes(12, worse: 0.02), of: 12) == .pass)
        #expect(Self.quality(Self.probes(12, worse: 0.3), of: 12) == .fail)
        #expect(Self.quality([], of: 0) == nil)
    }

    @Test func aVersionThatAnswersWellAndFalselyFails() {
        var generator = SeededGenerator(state: 3)
        var (new, old): ([Int: RolloutSums], [Int: RolloutSums]) = ([:], [:])
        Version().serve(500, into: &new, &generator)
        Version().serve(500, into: &old, &generator)
        func judge(_ quality: RolloutJudge.Quality) -> RolloutJudge.Judgement {
            RolloutJudge.judge(
                RolloutPolicy(), candidate: new, baseline: old, stepSamples: 500, stepSeconds: 100, quality: quality)
        }
        #expect(judge(.unknown).verdict == .pass)
        let failed = judge(.probes(Self.probes(20, worse: 3), of: 48))
        #expect(failed.verdict == .fail && failed.summary.hasPrefix("answer_loss"))
        #expect(judge(.probes([], of: 48)).verdict == .inconclusive)
    }

    @Test func anEqualVersionPasses() {
        let result = Self.decide(Version())
        #expect(result.verdict == .pass && result.requests >= RolloutPolicy().minimumSamples, "\(result)")
    }

    @Test func equalVersionsAreHardlyEverRefused() {
        let verdicts = (0..<60).map { Self.decide(Version(), most: 1_000, seed: UInt64($0) * 7_919 + 1).verdict }
        #expect(verdicts.filter { $0 == .fail }.count <= 1, "\(verdicts)")
    }

    @Test func brokenVersionsFailSoon() {
        for (name, version) in [
            ("error_rate", Version(errors: 0.5)), ("empty_rate", Version(empty: 0.6)),
            ("truncated_rate", Version(truncated: 1, tokens: 45)), ("first_token_seconds", Version(firstToken: 0.5)),
            ("seconds_per_token", Version(perToken: 0.15)), ("answer_tokens", Version(tokens: 5)),
            ("answer_tokens", Version(tokens: 160)),
        ] {
            let result = Self.decide(version)
            #expect(result.verdict == .fail && result.requests <= 150, "\(name): \(result)")
            #expect(result.summary.hasPrefix(name), "\(result.summary)")
        }
    }

    /// A step of one in a hundred has many answers of the old version, and is no excuse for a later one.
    @Test func aVersionThatCollapsesUnderLoadFails() {
        var generator = SeededGenerator(state: 5)
        var (new, old): ([Int: RolloutSums], [Int: RolloutSums]) = ([:], [:])
        for (step, counts) in [(100, 9_900), (100, 1_900), (150, 450), (300, 300)].enumerated() {
            func add(_ version: Version, _ count: Int, to sums: inout [Int: RolloutSums]) {
                var own: [Int: RolloutSums] = [:]
                version.serve(count, into: &own, &generator)
                for (stratum, sum) in own { sums[step * 5 + stratum] = sum }
            }
            add(step == 3 ? Version(perToken: 0.12) : Version(), counts.0, to: &new)
            add(Version(), counts.1, to: &old)
        }
        let judgement = RolloutJudge.judge(
            RolloutPolicy(), candidate: new, baseline: old, stepSamples: 300, stepSeconds: 100)
        #expect(judgement.verdict == .fail && judgement.summary.hasPrefix("seconds_per_token"), "\(judgement.summary)")
    }

    /// Two slow answers of an engine that has just started say nothing.
    @Test func aFewTimesAreNoEvidence() {
        var (new, old) = (RolloutSums(), RolloutSums())
        for _ in 0..<2 { new.firstToken.add(1.2) }
        for _ in 0..<9 { old.firstToken.add(0.27) }
        new.requests = 2
        old.requests = 9
        let judgement = RolloutJudge.judge(
            RolloutPolicy(), candidate: [0: new], baseline: [0: old], stepSamples: 2, stepSeconds: 5)
        #expect(judgement.verdict == .inconclusive, "\(judgement.summary)")
    }

    @Test func aVersionThatIsALittleWorseWithinItsMarginPasses() {
        let result = Self.decide(Version(firstToken: 0.12, perToken: 0.033))
        #expect(result.verdict == .pass, "\(result)")
    }

    @Test func longerPromptsAreNoFault() {
        // The candidate happens to get the long ones only; compared with long ones it is the same.
        var generator = SeededGenerator(state: 3)
        var (new, old): ([Int: RolloutSums], [Int: RolloutSums]) = ([:], [:])
        Version().serve(3_000, into: &old, &generator)
        Version().serve(1_000, into: &new, &generator)
        new[0] = nil
        new[1] = nil
        var policy = RolloutPolicy()
        policy.minimumSeconds = 0
        let judgement = RolloutJudge.judge(policy, candidate: new, baseline: old, stepSamples: 300, stepSeconds: 1)
        #expect(judgement.verdict == .pass, "\(judgement.summary)")
    }

    @Test func bothMinimaHold() {
        var generator = SeededGenerator(state: 4)
        var (new, old): ([Int: RolloutSums], [Int: RolloutSums]) = ([:], [:])
        Version().serve(3_000, into: &old, &generator)
        Version().serve(3_000, into: &new, &generator)
        func verdict(_ samples: Int, _ seconds: Double) -> RolloutJudge.Judgement {
            RolloutJudge.judge(
                RolloutPolicy(), candidate: new, baseline: old, stepSamples: samples, stepSeconds: seconds)
        }
        #expect(verdict(99, 61).verdict == .inconclusive && verdict(99, 61).summary.contains("99 of 100"))
        #expect(verdict(100, 59).verdict == .inconclusive && verdict(100, 59).summary.contains("59 of 60"))
        #expect(verdict(100, 60).verdict == .pass)
        #expect(
            RolloutJudge.judge(RolloutPolicy(), candidate: [:], baseline: old, stepSamples: 100, stepSeconds: 60)
                .verdict
                == .inconclusive)
    }
}
