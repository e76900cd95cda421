package import Ledger
package import Logging
package import MLflowClient
package import Pipeline
import Synchronization

/// Compares the versions of rollouts on held-out answers, one at each look.
package final class QualityWatch: Sendable {
    private struct Known {
        var examples: [HeldOutPrompts.Example]
        /// Probes that failed one after another.
        var failures = 0
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
    private static let patience = 10

    package init(
        ledger: Ledger, mlflow: MLflowClient, prompts: @escaping Prompts, probe: QualityProbe, logger: Logger
    ) {
        self.ledger = ledger
        self.mlflow = mlflow
        self.prompts = prompts
        self.probe = probe
        log = logger
    }

    /// Asks both versions for one answer more, and says what is known of them.
    package func look(at rollout: Rollout) async throws -> RolloutJudge.Quality {
        guard rollout.policy.probes > 0 else { return .unknown }
        let examples = try await examples(of: rollout)
        guard !examples.isEmpty else { return .unknown }
        var probes = try await ledger.rolloutProbes(rollout.id)
        let done = Set(probes.map(\.example))
        if let next = examples.indices.first(where: { !done.contains($0) }) {
            do {
                async let new = probe.loss(of: examples[next], model: rollout.model, version: rollout.candidate)
                async let old = probe.loss(of: examples[next], model: rollout.model, version: rollout.baseline)
                let result = RolloutProbe(example: next, candidate: try await new, baseline: try await old)
                try await ledger.addRolloutProbe(rollout.id, result)
                probes.append(result)
                known.withLock { $0[rollout.id]?.failures = 0 }
            } catch QualityProbe.Fault.nowhere {
                // A version that is not there yet, or not any more: that is for the others to see.
            } catch {
                guard !Task.isCancelled else { throw error }
                let failures = known.withLock { known in
                    known[rollout.id]?.failures += 1
                    return known[rollout.id]?.failures ?? 0
                }
                if failures == Self.patience {
                    log.warning(
                        "the versions of a rollout cannot be compared on held-out answers; it is judged without",
                        metadata: ["rollout": "\(rollout.id)", "error": "\(error)"])
                }
                if failures >= Self.patience { return probes.isEmpty ? .unknown : .probes(probes, of: probes.count) }
            }
        }
        return .probes(probes, of: examples.count)
    }

    private func examples(of rollout: Rollout) async throws -> [HeldOutPrompts.Example] {
        if let known = known.withLock({ $0[rollout.id] }) { return known.examples }
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
