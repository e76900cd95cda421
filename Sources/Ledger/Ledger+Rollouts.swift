package import Pipeline
package import PostgresClient

/// What one version did in one step with prompts of one size.
package struct RolloutCell: Hashable, Sendable {
    package var rollout: String
    package var step: Int
    package var isCandidate: Bool
    package var stratum: Int

    package init(rollout: String, step: Int, isCandidate: Bool, stratum: Int) {
        self.rollout = rollout
        self.step = step
        self.isCandidate = isCandidate
        self.stratum = stratum
    }
}

/// What was decided of a rollout, and why.
package struct RolloutVerdict: Hashable, Sendable {
    package var step: Int
    package var verdict: String
    /// What followed: `hold`, `advance`, `promote`, `roll_back`, or what somebody did.
    package var action: String
    package var summary: String
    package var evidence: JSONValue
    package var decidedAt: Timestamp
}

extension Ledger {
    /// The channel on which a process says that rollouts changed.
    package static let rolloutsChannel = "martlet_rollouts"

    /// Begins a rollout.
    /// - Throws: ``LedgerError`` `refused` when the model has one already, or the two versions are one.
    package func startRollout(
        id: String, model: String, candidate: String, baseline: String, policy: RolloutPolicy, actor: String
    ) async throws {
        guard candidate != baseline else {
            throw LedgerError(.refused, "version \(candidate) of \(model) serves already: there is nothing to roll out")
        }
        if let problem = policy.problem {
            throw LedgerError(.refused, "the rollout's policy cannot be used: \(problem)")
        }
        try await postgres.withTransaction { connection in
            let rows = try await connection.query(
                SQL.rollouts["start"],
                [.text(id), .text(model), .text(candidate), .text(baseline), .text(policy.json.canonicalJSON)])
            guard !rows.isEmpty else {
                throw LedgerError(
                    .refused,
                    "a rollout of \(model) is running: wait for it, or end it with `martlet rollout abort \(model)`")
            }
            try await self.rolloutChanged("rollout.start", id, actor: actor, in: connection)
        }
    }

    /// Those that run or are paused.
    package func rolloutsAlive() async throws -> [Rollout] {
        try await postgres.query(SQL.rollouts["alive"], []).map(Self.rollout)
    }

    /// The latest first.
    package func rollouts(model: String?, limit: Int) async throws -> [Rollout] {
        try await postgres.query(
            SQL.rollouts["list"], [model.map { .text($0) } ?? .null, .int(Int64(limit))]
        ).map(Self.rollout)
    }

    /// Changes a rollout under its lock.
    /// - Parameter decide: gets it as it is now and says what becomes of it; nil changes nothing. What it does meanwhile
    ///   is done under the lock.
    /// - Throws: ``LedgerError`` `notFound`.
    @discardableResult
    package func changeRollout(
        _ id: String, actor: String, _ decide: @Sendable (Rollout) async throws -> RolloutChange?
    ) async throws -> RolloutChange? {
        try await postgres.withTransaction { connection in
            guard let row = try await connection.query(SQL.rollouts["lock"], [.text(id)]).first else {
                throw LedgerError(.notFound, "there is no rollout \(id): `martlet rollout history` shows them")
            }
            let rollout = try Self.rollout(row)
            guard let change = try await decide(rollout) else { return nil }
            switch change.effect {
            case .none: break
            case .step(let step):
                _ = try await connection.query(SQL.rollouts["set_step"], [.text(id), .int(Int64(step))])
            case .state(.running):
                _ = try await connection.query(SQL.rollouts["restart_step"], [.text(id)])
            case .state(let state):
                _ = try await connection.query(
                    SQL.rollouts["set_state"], [.text(id), .text(state.rawValue), .text(change.summary)])
            }
            _ = try await connection.query(
                SQL.rollouts["add_verdict"],
                [
                    .text(id), .int(Int64(rollout.step)), .text(change.verdict), .text(change.action),
                    .text(change.summary), .text(change.evidence.canonicalJSON),
                ])
            if change.effect != .none {
                try await self.rolloutChanged("rollout.\(change.action)", id, actor: actor, in: connection)
            }
            return change
        }
    }

    /// Keeps what both versions lost on a held-out answer; who comes second changes nothing.
    package func addRolloutProbe(_ id: String, _ probe: RolloutProbe) async throws {
        _ = try await postgres.query(
            SQL.rollouts["add_probe"],
            [.text(id), .int(Int64(probe.example)), .double(probe.candidate), .double(probe.baseline)])
    }

    package func rolloutProbes(_ id: String) async throws -> [RolloutProbe] {
        try await postgres.query(SQL.rollouts["probes"], [.text(id)]).map { row in
            RolloutProbe(
                example: try row["example", as: Int.self], candidate: try row["candidate", as: Double.self],
                baseline: try row["baseline", as: Double.self])
        }
    }

    /// A rollout that has ended, and whom to tell of it.
    package struct Untold: Sendable {
        package var rollout: Rollout
        /// Who was told.
        package var told: [String]
        /// How often it was tried, this time included.
        package var attempts: Int
    }

    /// Takes a rollout of whose end somebody is to be told, for ten minutes, so that of several processes one does.
    package func claimUntoldRollout() async throws -> Untold? {
        try await postgres.query(SQL.rollouts["claim_to_tell"], []).first.map { row in
            Untold(
                rollout: try Self.rollout(row), told: try row["told", as: [String].self],
                attempts: try row["tell_attempts", as: Int.self])
        }
    }

    /// Writes down that a receiver was told of a rollout's end.
    package func addTold(_ id: String, receiver: String) async throws {
        _ = try await postgres.query(SQL.rollouts["add_told"], [.text(id), .text(receiver)])
    }

    /// - Parameter retry: after how many seconds the others are to be told; nil for never.
    package func endTelling(_ id: String, retry: Double?) async throws {
        _ = try await postgres.query(
            SQL.rollouts["end_telling"], [.text(id), retry.map { .double($0) } ?? .null])
    }

    package func rolloutVerdicts(_ id: String) async throws -> [RolloutVerdict] {
        try await postgres.query(SQL.rollouts["verdicts"], [.text(id)]).map { row in
            RolloutVerdict(
                step: try row["step", as: Int.self], verdict: try row["verdict", as: String.self],
                action: try row["action", as: String.self], summary: try row["summary", as: String.self],
                evidence: try JSON.decode(JSONValue.self, from: try row["evidence", as: String.self]),
                decidedAt: try row.timestamp("decided_at"))
        }
    }

    /// Adds what a gateway saw.
    package func addRolloutSums(_ sums: [RolloutCell: RolloutSums]) async throws {
        guard !sums.isEmpty else { return }
        // One order for all gateways, so that they wait for each other and never in a circle.
        let cells = sums.keys.sorted { left, right in
            (left.rollout, left.step, left.isCandidate ? 1 : 0, left.stratum)
                < (right.rollout, right.step, right.isCandidate ? 1 : 0, right.stratum)
        }
        let values = cells.map { sums[$0] ?? RolloutSums() }
        func integers(_ value: (RolloutSums) -> Int) -> PostgresValue { .intArray(values.map { Int64(value($0)) }) }
        func moments(_ part: (RolloutSums) -> Moments) -> [PostgresValue] {
            [
                .intArray(values.map { Int64(part($0).count) }), .doubleArray(values.map { part($0).sum }),
                .doubleArray(values.map { part($0).squares }),
            ]
        }
        var parameters: [PostgresValue] = [
            .textArray(cells.map(\.rollout)), .intArray(cells.map { Int64($0.step) }),
            .boolArray(cells.map(\.isCandidate)), .intArray(cells.map { Int64($0.stratum) }),
        ]
        parameters += [integers(\.requests), integers(\.errors), integers(\.empty), integers(\.truncated)]
        parameters += moments(\.firstToken) + moments(\.perToken) + moments(\.length)
        _ = try await postgres.query(SQL.rollouts["add_sums"], parameters)
    }

    package func rolloutSums(_ id: String) async throws -> [RolloutCell: RolloutSums] {
        let rows = try await postgres.query(SQL.rollouts["sums"], [.text(id)])
        var sums: [RolloutCell: RolloutSums] = [:]
        for row in rows {
            func moments(_ name: String) throws -> Moments {
                Moments(
                    count: try row["\(name)_count", as: Int.self], sum: try row["\(name)_sum", as: Double.self],
                    squares: try row["\(name)_squares", as: Double.self])
            }
            let cell = RolloutCell(
                rollout: id, step: try row["step", as: Int.self], isCandidate: try row["is_candidate", as: Bool.self],
                stratum: try row["stratum", as: Int.self])
            var sum = RolloutSums()
            sum.requests = try row["requests", as: Int.self]
            sum.errors = try row["errors", as: Int.self]
            sum.empty = try row["empty", as: Int.self]
            sum.truncated = try row["truncated", as: Int.self]
            sum.firstToken = try moments("first_token")
            sum.perToken = try moments("per_token")
            sum.length = try moments("length")
            sums[cell] = sum
        }
        return sums
    }

    /// Tells that rollouts may have changed, at once and for as long as it is read; connects again by itself.
    package func rolloutChanges() -> AsyncThrowingStream<PostgresNotification, any Error> {
        postgres.listen(Self.rolloutsChannel)
    }

    private func rolloutChanged(
        _ action: String, _ id: String, actor: String, in connection: PostgresConnection
    ) async throws {
        try await audit(action, subject: id, actor: actor, details: nil, in: connection)
        _ = try await connection.query("SELECT pg_notify($1, '')", [.text(Self.rolloutsChannel)])
    }

    private static func rollout(_ row: PostgresRow) throws -> Rollout {
        Rollout(
            id: try row["id", as: String.self], model: try row["model", as: String.self],
            candidate: try row["candidate", as: String.self], baseline: try row["baseline", as: String.self],
            state: try row.enumeration("state"),
            policy: RolloutPolicy(json: try JSON.decode(JSONValue.self, from: try row["policy", as: String.self])),
            step: try row["step", as: Int.self], startedAt: try row.timestamp("started_at"),
            stepStartedAt: try row.timestamp("step_started_at"), finishedAt: try row.optionalTimestamp("finished_at"),
            reason: try row["reason", as: String?.self])
    }
}

/// What becomes of a rollout, and why.
package struct RolloutChange: Hashable, Sendable {
    package enum Effect: Hashable, Sendable {
        case none
        case step(Int)
        case state(RolloutState)
    }

    package var effect: Effect
    package var verdict: String
    package var action: String
    package var summary: String
    package var evidence: JSONValue

    package init(effect: Effect, verdict: String, action: String, summary: String, evidence: JSONValue = .object([:])) {
        self.effect = effect
        self.verdict = verdict
        self.action = action
        self.summary = summary
        self.evidence = evidence
    }
}

extension LedgerError {
    package static func noRollout(_ model: String) -> LedgerError {
        LedgerError(.notFound, "no rollout of \(model) is under way: `martlet rollout history` shows those that were")
    }

    package static func rolloutIs(_ state: RolloutState, model: String) -> LedgerError {
        LedgerError(.refused, "the rollout of \(model) is \(state.rawValue): that cannot be done now")
    }

    package static func noAlias(_ alias: String, model: String) -> LedgerError {
        LedgerError(
            .notFound, "no version of \(model) has the alias \(alias): name one, or run a pipeline that registers one")
    }
}
