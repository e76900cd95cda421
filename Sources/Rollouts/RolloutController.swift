package import Ledger
package import Logging
package import MLflowClient
package import Pipeline

/// Takes rollouts from step to step, as the judge says. Keeps nothing: any number of them may run, and any may be killed.
package struct RolloutController: Sendable {
    private let ledger: Ledger
    private let mlflow: MLflowClient
    /// Nil where engines are not asked.
    private let quality: QualityWatch?
    private let log: Logger

    private static let interval = Duration.seconds(1)
    private static let actor = "rollout controller"
    /// The alias of the version that serves.
    private static let championAlias = "champion"

    package init(ledger: Ledger, mlflow: MLflowClient, quality: QualityWatch? = nil, logger: Logger) {
        self.ledger = ledger
        self.mlflow = mlflow
        self.quality = quality
        log = logger
    }

    /// Until it is cancelled.
    package func run() async {
        var isAway = false
        var failing: Set<String> = []
        while !Task.isCancelled {
            do {
                for rollout in try await ledger.rolloutsAlive() where rollout.state == .running {
                    do {
                        try await look(at: rollout)
                        failing.remove(rollout.id)
                    } catch {
                        // It must not hold up the others.
                        guard !Task.isCancelled else { return }
                        if failing.insert(rollout.id).inserted {
                            log.warning(
                                "a rollout stands still; it is looked at again",
                                metadata: ["rollout": "\(rollout.id)", "error": "\(error)"])
                        }
                    }
                }
                isAway = false
            } catch {
                guard !Task.isCancelled else { return }
                if !isAway {
                    log.warning("rollouts stand still: what they need does not answer", metadata: ["error": "\(error)"])
                }
                isAway = true
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    /// One look at one rollout.
    package func look(at rollout: Rollout) async throws {
        let known = await quality?.look(at: rollout) ?? .unknown
        let judgement = try await judge(rollout, quality: known)
        let age = rollout.stepStartedAt.duration(to: .now)
        switch judgement.verdict {
        case .inconclusive:
            guard age > .seconds(rollout.policy.deadline) else { return }
            try await end(
                rollout, judgement, action: "roll_back",
                summary: "undecided for \(NumberText.duration(seconds: rollout.policy.deadline)): \(judgement.summary)")
        case .fail: try await end(rollout, judgement, action: "roll_back", summary: judgement.summary)
        case .pass:
            if rollout.step + 1 < rollout.policy.shares.count {
                try await advance(rollout, judgement)
            } else {
                try await promote(rollout, judgement)
            }
        }
    }

    /// What can be said of it now.
    /// - Parameter quality: what is known of it; nil for what the ledger has of it.
    package func judge(
        _ rollout: Rollout, quality: RolloutJudge.Quality? = nil
    ) async throws -> RolloutJudge.Judgement {
        var known = RolloutJudge.Quality.unknown
        if let quality {
            known = quality
        } else {
            let probes = try await ledger.rolloutProbes(rollout.id)
            if !probes.isEmpty { known = .probes(probes, of: rollout.policy.probes) }
        }
        let sums = try await ledger.rolloutSums(rollout.id)
        var candidate: [Int: RolloutSums] = [:]
        var baseline: [Int: RolloutSums] = [:]
        var samples = 0
        for (cell, sum) in sums {
            // Each step is compared in itself: shares and load change from one to the next, and sums over steps would take
            // a busy hour for a slow version.
            let stratum = cell.step * (RolloutSums.strata.count + 1) + cell.stratum
            if cell.isCandidate {
                candidate[stratum, default: RolloutSums()] += sum
                if cell.step == rollout.step { samples += sum.requests }
            } else {
                baseline[stratum, default: RolloutSums()] += sum
            }
        }
        let age = Double(Timestamp.now.microseconds - rollout.stepStartedAt.microseconds) / 1e6
        return RolloutJudge.judge(
            rollout.policy, candidate: candidate, baseline: baseline, stepSamples: samples, stepSeconds: age,
            quality: known)
    }

    private func advance(_ rollout: Rollout, _ judgement: RolloutJudge.Judgement) async throws {
        let next = rollout.step + 1
        let share = NumberText.short(rollout.policy.shares[next] * 100)
        let change = RolloutChange(
            effect: .step(next), verdict: judgement.verdict.rawValue, action: "advance",
            summary: "\(judgement.summary); on to \(share) %", evidence: judgement.json)
        if try await apply(change, to: rollout) {
            log.notice("rollout advances", metadata: ["rollout": "\(rollout.id)", "share": "\(share) %"])
        }
    }

    /// The alias moves under the rollout's lock, so that whoever ended it meanwhile is heard. Before the row: if this
    /// process ends in between, the next one finds the rollout as it was and does it again.
    private func promote(_ rollout: Rollout, _ judgement: RolloutJudge.Judgement) async throws {
        let change = try await ledger.changeRollout(rollout.id, actor: Self.actor) { current in
            guard current.state == .running, current.step == rollout.step else { return nil }
            return try await Self.promotion(
                current, mlflow: mlflow, verdict: judgement.verdict.rawValue, summary: judgement.summary,
                evidence: judgement.json)
        }
        guard let change else { return }
        log.notice(
            "rollout ends",
            metadata: [
                "rollout": "\(rollout.id)", "model": "\(rollout.model)", "version": "\(rollout.candidate)",
                "action": "\(change.action)",
            ])
    }

    /// Makes the candidate the champion, unless another version has become that since; to be called under the lock.
    package static func promotion(
        _ rollout: Rollout, mlflow: MLflowClient, verdict: String, summary: String, evidence: JSONValue = .object([:])
    ) async throws -> RolloutChange {
        let champion = try await mlflow.modelVersion(name: rollout.model, alias: championAlias)?.version
        guard champion == nil || champion == rollout.baseline || champion == rollout.candidate else {
            return RolloutChange(
                effect: .state(.aborted), verdict: verdict, action: "abort",
                summary: "version \(champion ?? "") has become the champion meanwhile", evidence: evidence)
        }
        try await mlflow.setAlias(name: rollout.model, alias: championAlias, version: rollout.candidate)
        return RolloutChange(
            effect: .state(.promoted), verdict: verdict, action: "promote", summary: summary, evidence: evidence)
    }

    private func end(
        _ rollout: Rollout, _ judgement: RolloutJudge.Judgement, action: String, summary: String
    ) async throws {
        let change = RolloutChange(
            effect: .state(.rolledBack), verdict: judgement.verdict.rawValue, action: action, summary: summary,
            evidence: judgement.json)
        if try await apply(change, to: rollout) {
            log.warning(
                "rollout ends: the candidate is rolled back",
                metadata: [
                    "rollout": "\(rollout.id)", "model": "\(rollout.model)", "version": "\(rollout.candidate)",
                    "reason": "\(summary)",
                ])
        }
    }

    /// Unless somebody else was faster: then it is no longer as it was when it was judged.
    private func apply(_ change: RolloutChange, to rollout: Rollout) async throws -> Bool {
        try await ledger.changeRollout(rollout.id, actor: Self.actor) { current in
            current.state == .running && current.step == rollout.step ? change : nil
        } != nil
    }
}

extension RolloutJudge.Judgement {
    /// For the ledger: every metric with its numbers.
    package var json: JSONValue {
        .object([
            "verdict": .string(verdict.rawValue), "summary": .string(summary),
            "findings": .array(
                findings.map { finding in
                    .object([
                        "metric": .string(finding.metric), "verdict": .string(finding.verdict.rawValue),
                        "candidate": .double(finding.candidate), "baseline": .double(finding.baseline),
                        "difference": .double(finding.interval.difference), "lower": .double(finding.interval.lower),
                        "upper": .double(finding.interval.upper), "margin": .double(finding.margin),
                        "candidate_samples": .int(Int64(finding.candidateSamples)),
                        "baseline_samples": .int(Int64(finding.baselineSamples)),
                    ])
                }),
        ])
    }
}
