package import Ledger
package import Logging
package import MLflowClient
package import Pipeline
import Synchronization

/// Compares the versions of rollouts on held-out answers, one at each look.
package final class QualityWatch: Sendable {
    private struct Known {
        var examples: [HeldOutPrompts.Example]
        /// Whether it was found out which there are.
        var isLoaded = true
        /// Probes that failed one after another.
        var failures = 0
        /// Looks at which the candidate's engine still had to start.
        var awaited = 0
        /// Whether one is under way.
        var isBusy = false
    }

    private let ledger: Ledger
    private let mlflow: MLflowClient
    /// Held-out answers of a version, by its tags in the registry; so many at most.
    private let prompts: Prompts
    private let probe: QualityProbe
    private let log: Logger
    private let known = Mutex<[String: Known]>([:])

    package typealias Prompts =
        @Sendable (
            _ tags: [String: String], _ count: Int
        ) async throws -> [HeldOutPrompts.Example]

    /// After so many failures the rollout is judged without.
    private static let patience = 60
    /// An engine takes its time to start, for so many looks.
    private static let startPatience = 1_200

    package init(
        ledger: Ledger, mlflow: MLflowClient, prompts: @escaping Prompts, probe: QualityProbe, logger: Logger
    ) {
        self.ledger = ledger
        self.mlflow = mlflow
        self.prompts = prompts
        self.probe = probe
        log = logger
    }

    /// What is known of the versions of a rollout; asks both for one answer more, beside, unless that is under way.
    ///
    /// Never fails, and never waits for an engine: whatever happens to the probes, rollouts are judged.
    package func look(at rollout: Rollout) async -> RolloutJudge.Quality {
        guard rollout.policy.probes > 0 else { return .unknown }
        do {
            let examples = try await examples(of: rollout)
            guard !examples.isEmpty else { return .unknown }
            let probes = try await ledger.rolloutProbes(rollout.id)
            let done = Set(probes.map(\.example))
            let (isBusy, failures) = known.withLock { known in
                (known[rollout.id]?.isBusy ?? false, known[rollout.id]?.failures ?? 0)
            }
            if let next = examples.indices.first(where: { !done.contains($0) }), !isBusy, failures < Self.patience {
                known.withLock { $0[rollout.id]?.isBusy = true }
                // Unstructured: an engine may take its time, and other rollouts must not wait for it.
                Task { await self.ask(rollout, next, examples[next]) }
            }
            // Where it cannot go on, a few pairs are no sample of anything.
            if failures >= Self.patience, probes.count < RolloutJudge.fewestProbes { return .unknown }
            return .probes(probes, of: failures >= Self.patience ? .max : examples.count)
        } catch {
            log.debug("held-out answers cannot be had now", metadata: ["error": "\(error)"])
            return known.withLock { known in
                known[rollout.id, default: Known(examples: [], isLoaded: false)].failures += 1
                return (known[rollout.id]?.failures ?? 0) >= Self.patience ? .unknown : .probes([], of: 1)
            }
        }
    }

    private func ask(_ rollout: Rollout, _ number: Int, _ example: HeldOutPrompts.Example) async {
        do {
            // That it starts is no failure.
            if try await probe.isAwaited(rollout) {
                let isEarly = known.withLock { known in
                    known[rollout.id]?.awaited += 1
                    return (known[rollout.id]?.awaited ?? 0) <= Self.startPatience
                }
                if isEarly {
                    known.withLock { $0[rollout.id]?.isBusy = false }
                    return
                }
            }
            async let new = probe.loss(of: example, model: rollout.model, version: rollout.candidate)
            async let old = probe.loss(of: example, model: rollout.model, version: rollout.baseline)
            let baseline = try await old
            let candidate: Double
            do {
                candidate = try await new
            } catch QualityProbe.Fault.refused {
                // Where the old version has an answer there is nothing worse.
                candidate = QualityProbe.worst
            }
            let result = RolloutProbe(example: number, candidate: candidate, baseline: baseline)
            try await ledger.addRolloutProbe(rollout.id, result)
            known.withLock { known in
                known[rollout.id]?.failures = 0
                known[rollout.id]?.isBusy = false
            }
        } catch {
            let failures = known.withLock { known in
                known[rollout.id]?.failures += 1
                known[rollout.id]?.isBusy = false
                return known[rollout.id]?.failures ?? 0
            }
            if failures == Self.patience {
                log.warning(
                    "the versions of a rollout cannot be compared on held-out answers; it is judged without",
                    metadata: ["rollout": "\(rollout.id)", "error": "\(error)"])
            }
        }
    }

    private func examples(of rollout: Rollout) async throws -> [HeldOutPrompts.Example] {
        if let known = known.withLock({ $0[rollout.id] }), known.isLoaded { return known.examples }
        let version = try await mlflow.modelVersion(name: rollout.model, version: rollout.candidate)
        let examples = try await prompts(version?.tags ?? [:], rollout.policy.probes)
        if examples.isEmpty {
            log.notice(
                "a version has no held-out answers; its quality is not compared",
                metadata: ["rollout": "\(rollout.id)", "version": "\(rollout.candidate)"])
        }
        known.withLock { known in
            // Rollouts come one after another; those that ended are asked for no more.
            if known.count > 100 { known.removeAll() }
            known[rollout.id] = Known(examples: examples)
        }
        return examples
    }
}
