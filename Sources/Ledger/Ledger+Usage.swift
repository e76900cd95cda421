package import Pipeline
import PostgresClient

/// What one key used of one model version in a span of time.
package struct UsageReport: Hashable, Sendable {
    /// 0 without a key.
    package var key: Int
    package var name: String
    package var team: String
    package var model: String
    package var version: String
    package var sum: UsageLine.Sum
}

extension Ledger {
    /// Adds a batch of a gateway's journal; one that was added before changes nothing.
    /// - Parameters:
    ///   - journal: the journal's own name, unlike any other's.
    ///   - batch: counts up; batches of a journal come in order.
    /// - Returns: whether it was new.
    @discardableResult
    package func addUsage(_ lines: [UsageLine], journal: String, batch: Int64) async throws -> Bool {
        try await postgres.withTransaction { connection in
            let taken = try await connection.query(SQL.serving["take_batch"], [.text(journal), .int(batch)])
            guard !taken.isEmpty else { return false }
            // One order for all gateways, so that they wait for each other and never in a circle.
            let lines = lines.sorted { Self.order($0.group) < Self.order($1.group) }
            let hours = lines.map { PostgresTimestamp(microseconds: Int64($0.group.hour) * 3_600_000_000) }
            func numbers(_ value: (UsageLine.Sum) -> Int) -> PostgresValue {
                .intArray(lines.map { Int64(value($0.sum)) })
            }
            _ = try await connection.query(
                SQL.serving["add_usage"],
                [
                    .timestampArray(hours),
                    .intArray(lines.map { Int64($0.group.key) }), .textArray(lines.map(\.group.model)),
                    .textArray(lines.map(\.group.version)), numbers(\.requests), numbers(\.failed), numbers(\.partial),
                    numbers(\.promptTokens), numbers(\.cachedTokens), numbers(\.completionTokens),
                    .intArray(lines.map(\.sum.cost)),
                ])
            return true
        }
    }

    /// What was used from one moment to another, in whole hours.
    package func usage(from start: Timestamp, to end: Timestamp) async throws -> [UsageReport] {
        let rows = try await postgres.query(
            SQL.serving["usage"],
            [.timestamp(PostgresTimestamp(start)), .timestamp(PostgresTimestamp(end))])
        return try rows.map { row in
            var sum = UsageLine.Sum()
            sum.requests = try row["requests", as: Int.self]
            sum.failed = try row["failed", as: Int.self]
            sum.partial = try row["partial", as: Int.self]
            sum.promptTokens = try row["prompt_tokens", as: Int.self]
            sum.cachedTokens = try row["cached_tokens", as: Int.self]
            sum.completionTokens = try row["completion_tokens", as: Int.self]
            sum.cost = try row["cost", as: Int64.self]
            return UsageReport(
                key: try row["key_id", as: Int.self], name: try row["name", as: String.self],
                team: try row["team", as: String.self], model: try row["model", as: String.self],
                version: try row["version", as: String.self], sum: sum)
        }
    }

    private static func order(_ group: UsageLine.Group) -> (Int, Int, String, String) {
        (group.hour, group.key, group.model, group.version)
    }

    /// Whether a model was ever asked for with success or without: it is a real one.
    package func hasServed(model: String) async throws -> Bool {
        try await postgres.query(SQL.serving["has_served"], [.text(model)]).first?["has_served", as: Bool.self] ?? false
    }
}
