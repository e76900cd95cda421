package import Pipeline
import PostgresClient

extension Ledger {
    /// What a change by hand did to a run.
    package struct Intervention: Sendable {
        /// The stages whose tasks changed.
        package var stages: [String]
        package var readyPools: Set<String>
    }

    /// Cancels a run: what has not begun is not begun, what runs is stopped at its next heartbeat, and stages that
    /// run always tell of it.
    /// - Throws: ``LedgerError`` `refused` when the run has ended.
    package func cancel(_ id: RunID, actor: String) async throws -> Intervention {
        try await postgres.withTransaction { connection in
            let run = try await self.lock(id, in: connection)
            guard !run.state.isTerminal else {
                throw LedgerError(
                    .refused, "run \(id) has already ended (\(run.state.rawValue)): there is nothing to cancel")
            }
            let always = run.spec.stages.filter { $0.condition == .always }.map(\.name)
            let rows = try await connection.query(
                SQL.operate["cancel_tasks"], [.text(id.description), .textArray(always)])
            let stages = try rows.map { try $0["stage", as: String.self] }
            _ = try await connection.query(
                SQL.operate["finish_run"],
                [.text(id.description), .text(RunState.cancelled.rawValue), .text("cancelled by \(actor)")])
            try await self.audit("run.cancel", subject: id.description, actor: actor, details: nil, in: connection)
            return Intervention(stages: stages, readyPools: try await self.settle(id, in: connection))
        }
    }

    /// Runs again what did not succeed, and everything behind it; what succeeded is kept.
    /// - Parameter stage: run this stage again too, and everything behind it, even if it succeeded.
    /// - Throws: ``LedgerError`` `refused` when the run is alive, or when nothing is left to do again.
    package func retry(_ id: RunID, from stage: String?, actor: String) async throws -> Intervention {
        try await postgres.withTransaction { connection in
            let run = try await self.lock(id, in: connection)
            guard run.state.isTerminal else {
                throw LedgerError(.refused, "run \(id) is \(run.state.rawValue): wait for it or cancel it first")
            }
            let batch = try await RunBatch.load(
                try await connection.pipeline(RunBatch.loading([id])), of: self, in: connection)
            let tasks = batch.runs[id]?.tasks ?? []
            var again = Set(
                tasks.filter { task in
                    run.spec.stage(named: task.stage)?.condition == .onSuccess
                        && (task.state != .succeeded || task.isRejected)
                }.map(\.stage))
            if let stage {
                guard run.spec.stage(named: stage) != nil else {
                    let names = run.spec.stages.map(\.name).joined(separator: ", ")
                    throw LedgerError(.notFound, "pipeline \(run.spec.name) has no stage \(stage); it has \(names)")
                }
                again.insert(stage)
            }
            guard !again.isEmpty else {
                throw LedgerError(
                    .refused, "every stage of run \(id) succeeded: name one with --from-stage to run it again")
            }
            // Stages that run always tell of the outcome, and there will be another. One that is still at work on
            // the last outcome ends for itself: its attempt no longer counts.
            again.formUnion(run.spec.stages.filter { $0.condition == .always }.map(\.name))
            again = run.spec.closure(over: again)
            let stages = run.spec.stages.map(\.name).filter(again.contains)
            _ = try await connection.query(SQL.operate["reset_tasks"], [.text(id.description), .textArray(stages)])
            _ = try await connection.query(SQL.operate["reopen_run"], [.text(id.description)])
            try await self.audit(
                "run.retry", subject: id.description, actor: actor,
                details: .object(["stages": .array(stages.map(JSONValue.string))]), in: connection)
            return Intervention(stages: stages, readyPools: try await self.settle(id, in: connection))
        }
    }

    /// Tells every scheduler that tasks became ready.
    package func announceReady(pools: Set<String>) async throws {
        guard !pools.isEmpty else { return }
        try await postgres.notify(Self.readyChannel, pools.sorted().joined(separator: ","))
    }

    package func setPool(_ name: String, desired: Int, actor: String) async throws {
        try await postgres.withTransaction { connection in
            _ = try await connection.query(SQL.operate["set_pool"], [.text(name), .int(Int64(desired))])
            try await self.audit(
                "pool.scale", subject: name, actor: actor, details: .object(["desired": .int(Int64(desired))]),
                in: connection)
        }
    }

    /// The number of worker processes that each pool should have, where somebody said so.
    package func pools() async throws -> [String: Int] {
        let rows = try await postgres.query(SQL.operate["pools"], [])
        return Dictionary(
            try rows.map { (try $0["name", as: String.self], try $0["desired", as: Int.self]) },
            uniquingKeysWith: { first, _ in first })
    }

    private struct LockedRun {
        var state: RunState
        var spec: PipelineSpec
    }

    private func lock(_ id: RunID, in connection: PostgresConnection) async throws -> LockedRun {
        guard let row = try await connection.query(SQL.operate["lock_run"], [.text(id.description)]).first else {
            throw LedgerError(.notFound, "there is no run \(id): `martlet run list` shows the runs")
        }
        return LockedRun(
            state: try row.enumeration("state"),
            spec: try await pipeline(digest: try row["pipeline_digest", as: String.self], in: connection))
    }

    private func settle(_ id: RunID, in connection: PostgresConnection) async throws -> Set<String> {
        var batch = try await RunBatch.load(
            try await connection.pipeline(RunBatch.loading([id])), of: self, in: connection)
        try batch.settle()
        _ = try await connection.pipeline(batch.writing())
        return batch.readyPools
    }

    func audit(
        _ action: String, subject: String, actor: String, details: JSONValue?, in connection: PostgresConnection
    ) async throws {
        _ = try await connection.query(
            SQL.operate["audit"],
            [.text(actor), .text(action), .text(subject), details.map { .text($0.canonicalJSON) } ?? .null])
    }
}

extension PipelineSpec {
    /// `stages` and every stage that needs one of them, directly or not.
    func closure(over stages: Set<String>) -> Set<String> {
        var closure = stages
        var grew = true
        while grew {
            grew = false
            for stage in self.stages where !closure.contains(stage.name) {
                guard !closure.isDisjoint(with: stage.needs) else { continue }
                closure.insert(stage.name)
                grew = true
            }
        }
        return closure
    }
}
