package import Pipeline
package import PostgresClient

extension Ledger {
    /// The channel on which a process says that keys changed.
    package static let keysChannel = "martlet_keys"

    /// Keeps a new key's digest and what it may do.
    /// - Returns: its number.
    /// - Throws: ``LedgerError`` `refused` when a key of that name exists that is not revoked.
    package func createKey(
        name: String, team: String, digest: [UInt8], limits: APIKey.Limits, actor: String
    ) async throws -> Int {
        try await postgres.withTransaction { connection in
            let rows = try await connection.query(
                SQL.serving["create_key"], [.text(name), .text(team), .bytes(digest)] + Self.values(limits))
            guard let row = rows.first else {
                throw LedgerError(
                    .refused, "there is a key named \(name) already: revoke it first, or take another name")
            }
            try await self.keysChanged("key.create", name, actor: actor, in: connection)
            return try row["id", as: Int.self]
        }
    }

    /// Changes what a key may do.
    /// - Throws: ``LedgerError`` `notFound` when there is no such key, or it is revoked.
    package func updateKey(name: String, team: String, limits: APIKey.Limits, actor: String) async throws {
        try await postgres.withTransaction { connection in
            let rows = try await connection.query(
                SQL.serving["update_key"], [.text(name), .text(team)] + Self.values(limits))
            guard !rows.isEmpty else { throw LedgerError.noKey(name) }
            try await self.keysChanged("key.update", name, actor: actor, in: connection)
        }
    }

    /// Ends a key for ever.
    /// - Throws: ``LedgerError`` `notFound` when there is no such key, or it is revoked already.
    package func revokeKey(name: String, actor: String) async throws {
        try await postgres.withTransaction { connection in
            let rows = try await connection.query(SQL.serving["revoke_key"], [.text(name)])
            guard !rows.isEmpty else { throw LedgerError.noKey(name) }
            try await self.keysChanged("key.revoke", name, actor: actor, in: connection)
        }
    }

    /// All keys with what they spent this month.
    /// - Parameter withRevoked: those too that are ended.
    package func keys(withRevoked: Bool = false) async throws -> [APIKey] {
        try await postgres.query(SQL.serving["list_keys"], [.bool(withRevoked)]).map { row in
            var key = APIKey(
                id: try row["id", as: Int.self], name: try row["name", as: String.self],
                team: try row["team", as: String.self], digest: try row["digest", as: [UInt8].self])
            key.limits.models = try row["models", as: [String].self]
            key.limits.requestsPerMinute = try row["requests_per_minute", as: Int?.self]
            key.limits.tokensPerMinute = try row["tokens_per_minute", as: Int?.self]
            key.limits.concurrent = try row["concurrent", as: Int?.self]
            key.limits.monthlyBudget = try row["monthly_budget", as: Int64?.self]
            key.limits.priority = try row["priority", as: Int.self]
            key.limits.onFailure = try row.enumeration("on_limit_failure")
            key.limits.expires = try row.optionalTimestamp("expires_at")
            key.monthlySpent = try row["monthly_spent", as: Int64.self]
            key.created = try row.timestamp("created_at")
            key.revoked = try row.optionalTimestamp("revoked_at")
            return key
        }
    }

    /// Tells that keys may have changed, at once and for as long as it is read; connects again by itself.
    package func keyChanges() -> AsyncThrowingStream<PostgresNotification, any Error> {
        postgres.listen(Self.keysChannel)
    }

    private static func values(_ limits: APIKey.Limits) -> [PostgresValue] {
        func number(_ value: Int64?) -> PostgresValue { value.map { .int($0) } ?? .null }
        let expires: PostgresValue = limits.expires.map { .timestamp(PostgresTimestamp($0)) } ?? .null
        return [
            .textArray(limits.models), number(limits.requestsPerMinute.map(Int64.init)),
            number(limits.tokensPerMinute.map(Int64.init)), number(limits.concurrent.map(Int64.init)),
            number(limits.monthlyBudget), .int(Int64(limits.priority)), .text(limits.onFailure.rawValue), expires,
        ]
    }

    private func keysChanged(
        _ action: String, _ name: String, actor: String, in connection: PostgresConnection
    ) async throws {
        try await audit(action, subject: name, actor: actor, details: nil, in: connection)
        // Sent when the transaction is committed, and not before.
        _ = try await connection.query("SELECT pg_notify($1, '')", [.text(Self.keysChannel)])
    }
}

extension LedgerError {
    package static func noKey(_ name: String) -> LedgerError {
        LedgerError(.notFound, "there is no key named \(name): `martlet key list` shows the keys")
    }
}
