package import Pipeline
import PostgresClient

extension Ledger {
    /// What a claim of an effect found.
    package enum EffectClaim: Sendable, Hashable {
        /// Nobody has tried before: do it.
        case first
        /// Somebody claimed it and left no outcome, or failed: look outside before doing it again.
        case again
        /// It is done; this is what came of it.
        case done(JSONValue)
    }

    /// Claims an effect outside: a registered version, a notification.
    /// - Parameters:
    ///   - key: names the effect within its run.
    ///   - token: of the attempt that wants to do it.
    package func claimEffect(run: RunID, key: String, token: ClaimToken) async throws -> EffectClaim {
        let parameters: [PostgresValue] = [.text(run.description), .text(key), .text(token.description)]
        if let row = try await postgres.query(SQL.effects["claim"], parameters).first {
            return try row["fresh", as: Bool.self] ? .first : .again
        }
        guard let row = try await postgres.query(SQL.effects["outcome"], [.text(run.description), .text(key)]).first
        else { throw LedgerError(.corrupt, "effect \(key) of run \(run) vanished while it was claimed") }
        let outcome = try row["outcome", as: String?.self]
        return .done(try outcome.map { try JSON.decode(JSONValue.self, from: $0) } ?? .null)
    }

    /// Whether the claim of this token is still the one that counts.
    package func holdsEffect(run: RunID, key: String, token: ClaimToken) async throws -> Bool {
        guard let row = try await postgres.query(SQL.effects["outcome"], [.text(run.description), .text(key)]).first
        else { return false }
        return try row["state", as: String.self] == "claimed" && row["token", as: String.self] == token.description
    }

    /// Records what came of an effect.
    /// - Throws: ``LedgerError`` `refused` when another attempt has claimed the effect since.
    package func recordEffect(
        run: RunID, key: String, token: ClaimToken, succeeded: Bool, outcome: JSONValue
    ) async throws {
        let rows = try await postgres.query(
            SQL.effects["record"],
            [
                .text(run.description), .text(key), .text(token.description), .text(succeeded ? "done" : "failed"),
                .text(outcome.canonicalJSON),
            ])
        guard !rows.isEmpty else {
            throw LedgerError(.refused, "effect \(key) of run \(run) was claimed by another attempt meanwhile")
        }
    }

    package func effects(of run: RunID) async throws -> [EffectRecord] {
        try await postgres.query(SQL.effects["list"], [.text(run.description)]).map { row in
            EffectRecord(
                key: try row["key", as: String.self], state: try row["state", as: String.self],
                outcome: try (try row["outcome", as: String?.self]).map { try JSON.decode(JSONValue.self, from: $0) },
                claimedAt: try row.timestamp("claimed_at"), doneAt: try row.optionalTimestamp("done_at"))
        }
    }
}
