package import Pipeline

/// Decides from what two versions did whether the new one may go on. Pure.
package enum RolloutJudge {
    package enum Verdict: String, Hashable, Sendable {
        /// No metric is worse by more than its margin, and that is certain enough.
        case pass
        /// One is, for certain.
        case fail
        /// Neither can be said yet.
        case inconclusive
    }

    /// One metric's part of a verdict.
    package struct Finding: Hashable, Sendable {
        package var metric: String
        package var verdict: Verdict
        package var candidate: Double
        package var baseline: Double
        /// Of the candidate's mean less the baseline's, stratified.
        package var interval: ConfidenceSequence
        /// In the metric's unit.
        package var margin: Double
        package var candidateSamples: Int
        package var baselineSamples: Int
    }

    package struct Judgement: Hashable, Sendable {
        package var verdict: Verdict
        package var findings: [Finding]
        /// In one sentence, for people.
        package var summary: String
    }

    /// Probes from which their variance is taken for known: as they are pairs, it is smaller.
    static let fewestProbes = 10

    /// What is known of the versions' quality.
    package enum Quality: Hashable, Sendable {
        /// There are no held-out answers, or the engines cannot be asked for them.
        case unknown
        /// - Parameter count: how many probes there will be.
        case probes([RolloutProbe], of: Int)
    }

    /// - Parameters:
    ///   - candidate: by stratum.
    ///   - baseline: by stratum.
    ///   - stepSamples: answers of the candidate in this step.
    ///   - stepSeconds: since this step began.
    ///   - quality: over all steps.
    package static func judge(
        _ policy: RolloutPolicy, candidate: [Int: RolloutSums], baseline: [Int: RolloutSums], stepSamples: Int,
        stepSeconds: Double, quality: Quality = .unknown
    ) -> Judgement {
        var findings = metrics(policy).compactMap { finding($0, policy, candidate, baseline) }
        let served = findings.count
        if let finding = finding(quality, policy) { findings.append(finding) }
        let failed = findings.filter { $0.verdict == .fail }
        if let worst = failed.first {
            // What is certain needs no minimum: a broken version goes at once.
            return Judgement(verdict: .fail, findings: findings, summary: describe(worst))
        }
        if stepSamples < policy.minimumSamples {
            return Judgement(
                verdict: .inconclusive, findings: findings,
                summary: "\(stepSamples) of \(policy.minimumSamples) answers in this step")
        }
        if stepSeconds < policy.minimumSeconds {
            return Judgement(
                verdict: .inconclusive, findings: findings,
                summary: "\(Int(stepSeconds)) of \(Int(policy.minimumSeconds)) seconds in this step")
        }
        if let open = findings.first(where: { $0.verdict == .inconclusive }) {
            return Judgement(verdict: .inconclusive, findings: findings, summary: describe(open))
        }
        guard served > 0 else {
            return Judgement(
                verdict: .inconclusive, findings: findings,
                summary: "the versions have no sizes of prompts in common yet")
        }
        return Judgement(verdict: .pass, findings: findings, summary: "no metric is worse by more than its margin")
    }

    private struct Metric {
        /// Differences of rates are looked for at this size at least: smaller ones take thousands of samples anyway.
        static let rateMixture = 0.05
        /// Samples of each version from which a variance is taken for known.
        static let fewestTimes = 20

        var name: String
        /// Of one arm's sums.
        var moments: (RolloutSums) -> Moments
        var margin: Double
        /// Whether the margin is a part of the baseline's mean.
        var isRelative = false
        /// Whether less is worse as well.
        var isTwoSided = false
    }

    private static func metrics(_ policy: RolloutPolicy) -> [Metric] {
        func part(_ count: Int, of total: Int) -> Moments {
            Moments(count: total, sum: Double(count), squares: Double(count))
        }
        let margins = policy.margins
        return [
            Metric(name: "error_rate", moments: { part($0.errors, of: $0.requests) }, margin: margins.errors),
            Metric(
                name: "empty_rate", moments: { part($0.empty, of: $0.requests - $0.errors) }, margin: margins.empty),
            Metric(
                name: "truncated_rate", moments: { part($0.truncated, of: $0.requests - $0.errors) },
                margin: margins.truncated),
            Metric(
                name: "first_token_seconds", moments: { $0.firstToken }, margin: margins.firstToken, isRelative: true),
            Metric(name: "seconds_per_token", moments: { $0.perToken }, margin: margins.perToken, isRelative: true),
            Metric(
                name: "answer_tokens", moments: { $0.length }, margin: margins.length, isRelative: true,
                isTwoSided: true),
        ]
    }

    private static func finding(
        _ metric: Metric, _ policy: RolloutPolicy, _ candidate: [Int: RolloutSums], _ baseline: [Int: RolloutSums]
    ) -> Finding? {
        var strata: [(new: Moments, old: Moments)] = []
        for (stratum, sums) in candidate {
            guard let other = baseline[stratum] else { continue }
            let (new, old) = (metric.moments(sums), metric.moments(other))
            guard new.count > 1, old.count > 1 else { continue }
            strata.append((new, old))
        }
        guard !strata.isEmpty else { return nil }
        // As certain as a stratum's difference is, so much it counts: a step of one in a hundred has many answers of the old
        // version, and says little for all that.
        func information(_ new: Moments, _ old: Moments) -> Double {
            Double(new.count) * Double(old.count) / Double(new.count + old.count)
        }
        let total = strata.reduce(0) { $0 + information($1.new, $1.old) }
        var difference = 0.0
        var variance = 0.0
        var means = (new: 0.0, old: 0.0)
        for (new, old) in strata {
            let weight = information(new, old) / total
            difference += weight * (new.mean - old.mean)
            variance += weight * weight * (shrunk(new, metric) + shrunk(old, metric))
            means.new += weight * new.mean
            means.old += weight * old.mean
        }
        let margin = metric.isRelative ? metric.margin * max(means.old, 1e-9) : metric.margin
        let interval = ConfidenceSequence(
            difference: difference, variance: variance,
            mixture: metric.isRelative ? max(margin, 1e-9) : max(margin, Metric.rateMixture), alpha: policy.alpha)
        let fewest = min(
            strata.reduce(0) { $0 + $1.new.count }, strata.reduce(0) { $0 + $1.old.count })
        // Of a few times nobody knows the variance, and without it nothing is certain; rates carry theirs in them.
        let isKnown = !metric.isRelative || fewest >= Metric.fewestTimes
        let isWorse = isKnown && (interval.lower > margin || metric.isTwoSided && interval.upper < -margin)
        let isFine = isKnown && interval.upper < margin && (!metric.isTwoSided || interval.lower > -margin)
        return Finding(
            metric: metric.name, verdict: isWorse ? .fail : isFine ? .pass : .inconclusive, candidate: means.new,
            baseline: means.old, interval: interval, margin: margin,
            candidateSamples: strata.reduce(0) { $0 + $1.new.count },
            baselineSamples: strata.reduce(0) { $0 + $1.old.count })
    }

    /// Differences on the same answers, so that hard ones weigh on both alike.
    private static func finding(_ quality: Quality, _ policy: RolloutPolicy) -> Finding? {
        guard case .probes(let probes, let total) = quality, total > 0 else { return nil }
        var (differences, new, old) = (Moments(), Moments(), Moments())
        for probe in probes {
            differences.add(probe.candidate - probe.baseline)
            new.add(probe.candidate)
            old.add(probe.baseline)
        }
        let margin = policy.margins.quality
        let interval = ConfidenceSequence(
            difference: differences.mean, variance: differences.variance / Double(max(1, differences.count)),
            mixture: margin, alpha: policy.alpha)
        let verdict: Verdict
        if differences.count >= total {
            // All there are were asked: their mean is no estimate any more.
            verdict = differences.mean > margin ? .fail : .pass
        } else if differences.count < min(total, fewestProbes) {
            verdict = .inconclusive
        } else {
            verdict = interval.lower > margin ? .fail : interval.upper < margin ? .pass : .inconclusive
        }
        return Finding(
            metric: "answer_loss", verdict: verdict, candidate: new.mean, baseline: old.mean, interval: interval,
            margin: margin, candidateSamples: new.count, baselineSamples: old.count)
    }

    /// The variance of a mean. Of a rate that is 0 or 1 so far the sample's own says that it is certain; one more success
    /// and one more failure (Agresti and Coull, 1998) say how uncertain few samples are.
    private static func shrunk(_ moments: Moments, _ metric: Metric) -> Double {
        guard !metric.isRelative else { return moments.variance / Double(moments.count) }
        let count = Double(moments.count) + 2
        let rate = (moments.sum + 1) / count
        return rate * (1 - rate) / count
    }

    private static func describe(_ finding: Finding) -> String {
        func short(_ value: Double) -> String { NumberText.short(value) }
        let head =
            "\(finding.metric) \(short(finding.candidate)) against \(short(finding.baseline)), difference from "
            + "\(short(finding.interval.lower)) to \(short(finding.interval.upper))"
        switch finding.verdict {
        case .fail: return "\(head), worse than the margin of \(short(finding.margin)) for certain"
        default: return "\(head): the margin of \(short(finding.margin)) is still possible"
        }
    }
}
