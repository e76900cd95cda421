import Ledger
import Pipeline
import Synchronization

/// The rollouts that are under way, and what their versions did here since it was told last.
final class RolloutTable: Sendable {
    /// The part of a rollout that a request takes.
    struct Arm: Hashable, Sendable {
        let rollout: String
        let step: Int
        let isCandidate: Bool
        /// Whether the candidate is to answer a copy, for nobody.
        var isMirrored = false
    }

    private struct Entry {
        var rollout: Rollout
        var guardrail = Guardrail()
        /// Requests that a closed guardrail has kept from the candidate.
        var kept = 0
    }

    /// A closed guardrail lets one of so many requests pass: the judge needs to see that it was right, and clients do not
    /// notice, as the old version answers what the new one cannot.
    private static let trial = 20

    private struct State {
        var byModel: [String: Entry] = [:]
        var sums: [RolloutCell: RolloutSums] = [:]
    }

    private let state = Mutex(State())
    /// Whether there are any: asked for every request.
    private let count = Atomic(0)

    var isEmpty: Bool { count.load(ordering: .relaxed) == 0 }

    /// Takes over what the ledger says; a guardrail that closed stays closed until its rollout takes another step.
    func update(_ rollouts: [Rollout]) {
        state.withLock { state in
            var entries: [String: Entry] = [:]
            for rollout in rollouts {
                var entry = state.byModel[rollout.model] ?? Entry(rollout: rollout)
                if entry.rollout.id != rollout.id || entry.rollout.step != rollout.step {
                    entry.guardrail = Guardrail()
                }
                entry.rollout = rollout
                entries[rollout.model] = entry
            }
            state.byModel = entries
            count.store(entries.count, ordering: .relaxed)
        }
    }

    /// The versions of a model under way and which of them a request gets; nil when the model has no rollout.
    /// - Parameter stickiness: requests with the same value get the same version, and only change to the new one.
    func choose(model: String, stickiness: UInt64) -> (arm: Arm, candidate: String, baseline: String)? {
        state.withLock { state in
            guard var entry = state.byModel[model] else { return nil }
            let rollout = entry.rollout
            // Mixed with the rollout, so that it is not always the same people who get what is new.
            let place = Double(Hash.mix(stickiness ^ Hash.of(rollout.id.utf8)) >> 11) / Double(UInt64(1) << 53)
            var isCandidate = place < rollout.share
            if isCandidate, entry.guardrail.isClosed {
                entry.kept += 1
                state.byModel[model]?.kept = entry.kept
                isCandidate = entry.kept % Self.trial == 0
            }
            let arm = Arm(
                rollout: rollout.id, step: rollout.step, isCandidate: isCandidate,
                isMirrored: place < rollout.mirrored)
            return (arm, rollout.candidate, rollout.baseline)
        }
    }

    /// The part of a copy, and the version that answers it; nil where a model's requests are not copied.
    func mirror(model: String) -> (arm: Arm, candidate: String)? {
        state.withLock { state in
            guard let rollout = state.byModel[model]?.rollout, rollout.mirrored > 0 else { return nil }
            return (Arm(rollout: rollout.id, step: rollout.step, isCandidate: true), rollout.candidate)
        }
    }

    /// Counts what became of a request.
    func record(_ arm: Arm, model: String, stratum: Int, _ sums: RolloutSums) {
        state.withLock { state in
            let cell = RolloutCell(
                rollout: arm.rollout, step: arm.step, isCandidate: arm.isCandidate, stratum: stratum)
            state.sums[cell, default: RolloutSums()] += sums
            guard arm.isCandidate, state.byModel[model]?.rollout.id == arm.rollout else { return }
            state.byModel[model]?.guardrail.record(isError: sums.errors > 0)
        }
    }

    /// Takes out what was counted, for the ledger.
    func takeSums() -> [RolloutCell: RolloutSums] {
        state.withLock { state in
            defer { state.sums = [:] }
            return state.sums
        }
    }

    /// Puts back what the ledger did not take.
    func putBack(_ sums: [RolloutCell: RolloutSums]) {
        state.withLock { state in
            for (cell, sum) in sums { state.sums[cell, default: RolloutSums()] += sum }
        }
    }
}

/// Takes a version that errs out of the way in seconds, before anybody has looked at the statistics. Pure.
struct Guardrail: Equatable, Sendable {
    /// Of the last so many requests, this many errors close it.
    static let window = 20
    static let errorLimit = 5

    private var outcomes: [Bool] = []
    private(set) var isClosed = false

    mutating func record(isError: Bool) {
        outcomes.append(isError)
        if outcomes.count > Self.window { outcomes.removeFirst() }
        if outcomes.filter({ $0 }).count >= Self.errorLimit { isClosed = true }
    }
}
