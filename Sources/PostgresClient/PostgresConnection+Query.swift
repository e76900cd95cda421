import CPostgres
import Logging

extension PostgresConnection {
    /// Runs one statement with bound parameters.
    ///
    /// A text that comes a second time on a connection is prepared there and then reused.
    /// - Parameter timeout: for this statement; nil takes the configuration's, zero means none.
    /// - Throws: `PostgresError`, or `CancellationError` once the statement has stopped on the server.
    package func query(
        _ sql: String, _ parameters: [PostgresValue] = [], timeout: Duration? = nil
    ) async throws -> PostgresRows {
        let block = try ParameterBlock(parameters)
        return try await withTurn { try await self.run(sql, block, timeout: timeout) }
    }

    /// Runs a text of several statements without parameters, as `psql -c` would: one implicit transaction
    /// unless the text says otherwise. For migrations and session settings, never for values.
    package func execute(script: String, timeout: Duration? = nil) async throws {
        _ = try await withTurn {
            try await self.withServerTimeout(timeout) { timeout in
                try await self.transact(timeout: timeout, endsTransaction: true) { PQsendQuery($0, script) == 1 }
            }
        }
    }

    /// A statement that the task's cancellation must not stop: COMMIT, ROLLBACK and their like.
    func command(_ sql: String, endsTransaction: Bool = false) async throws -> PostgresRows {
        try await withTurn(shielded: true) {
            let rows = try await self.transact(
                timeout: self.clientTimeout(nil), shielded: true, endsTransaction: endsTransaction
            ) {
                PQsendQueryParams($0, sql, 0, nil, nil, nil, nil, 0) == 1
            }
            return try Self.only(rows)
        }
    }

    private func run(_ sql: String, _ block: ParameterBlock, timeout: Duration?) async throws -> PostgresRows {
        try await withServerTimeout(timeout) { timeout in
            let key = block.key(of: sql)
            let endsTransaction = sql.endsTransaction
            if let name = try await self.preparedName(sql, key: key, block, timeout: timeout) {
                do {
                    return try await self.runPrepared(name, block, timeout: timeout, endsTransaction)
                } catch let error as PostgresError where error.isStalePlan {
                    // Raised before execution: the table changed, or DISCARD ALL dropped the statement.
                    self.statements.remove(key)
                    guard self.transactionStatus == PQTRANS_IDLE else { throw error }
                    self.logger.debug("PostgreSQL plan is stale; running it unprepared")
                }
            }
            return try await self.runUnprepared(sql, block, timeout: timeout, endsTransaction)
        }
    }

    func preparedName(
        _ sql: String, key: String, _ block: ParameterBlock, timeout: Duration
    ) async throws -> String? {
        if let name = statements.name(for: key) { return name }
        guard transactionStatus != PQTRANS_INERROR, statements.noteUse(of: key) else { return nil }
        if let evicted = statements.evict() {
            _ = try await transact(timeout: timeout) {
                PQsendQueryParams($0, "DEALLOCATE \(evicted)", 0, nil, nil, nil, nil, 0) == 1
            }
        }
        let name = statements.makeName()
        _ = try await transact(timeout: timeout) {
            PQsendPrepare($0, name, sql, Int32(block.count), block.types) == 1
        }
        statements.insert(key, name: name)
        return name
    }

    private func runPrepared(
        _ name: String, _ block: ParameterBlock, timeout: Duration, _ endsTransaction: Bool
    ) async throws -> PostgresRows {
        let rows = try await transact(timeout: timeout, endsTransaction: endsTransaction) { connection in
            block.withPointers {
                PQsendQueryPrepared(connection, name, Int32(block.count), $0, $1, $2, 0) == 1
            }
        }
        return try Self.only(rows)
    }

    private func runUnprepared(
        _ sql: String, _ block: ParameterBlock, timeout: Duration, _ endsTransaction: Bool
    ) async throws -> PostgresRows {
        let rows = try await transact(timeout: timeout, endsTransaction: endsTransaction) { connection in
            block.withPointers {
                PQsendQueryParams(connection, sql, Int32(block.count), block.types, $0, $1, $2, 0) == 1
            }
        }
        return try Self.only(rows)
    }

    private static func only(_ rows: [PostgresRows]) throws -> PostgresRows {
        guard let first = rows.first else {
            throw PostgresError(.unsupported, "the server answered without a result")
        }
        return first
    }

    /// Lifts the server's statement timeout while `body` runs a statement that may take longer.
    func withServerTimeout<T: Sendable>(
        _ timeout: Duration?, _ body: (Duration) async throws -> T
    ) async throws -> T {
        let isLonger =
            timeout.map {
                configuration.statementTimeout > .zero && ($0 == .zero || $0 > configuration.statementTimeout)
            } ?? false
        guard isLonger, let timeout, transactionStatus != PQTRANS_INERROR else {
            return try await body(clientTimeout(timeout))
        }
        try await setServerTimeout(timeout)
        do {
            let result = try await body(clientTimeout(timeout))
            try await setServerTimeout(configuration.statementTimeout)
            return result
        } catch {
            // A failed transaction takes the setting back with its rollback.
            if lossReason == nil, transactionStatus != PQTRANS_INERROR {
                do {
                    try await setServerTimeout(configuration.statementTimeout)
                } catch let second {
                    lose(PostgresError(.connectionLost, "statement_timeout could not be set back", cause: "\(second)"))
                }
            }
            throw error
        }
    }

    private func setServerTimeout(_ timeout: Duration) async throws {
        _ = try await transact(timeout: configuration.cancelGrace, shielded: true) {
            PQsendQueryParams(
                $0, "SET statement_timeout = \(timeout.milliseconds)", 0, nil, nil, nil, nil, 0) == 1
        }
    }

    /// The server acts first where both hold the same limit; the client's comes half a second later.
    func clientTimeout(_ timeout: Duration?) -> Duration {
        let limit = timeout ?? configuration.statementTimeout
        guard limit > .zero else { return .zero }
        return limit < configuration.statementTimeout ? limit : limit + .milliseconds(500)
    }
}

extension String {
    /// Whether losing the connection during this statement leaves the transaction's outcome open.
    var endsTransaction: Bool {
        let word = drop { $0.isWhitespace }.prefix { $0.isLetter }.lowercased()
        return word == "commit" || word == "end" || word == "prepare"
    }
}

extension PostgresError {
    /// The prepared statement no longer fits: gone (26000), or its plan's result type changed.
    var isStalePlan: Bool {
        sqlState == "26000" || (sqlState == "0A000" && routine == "RevalidateCachedQuery")
    }
}
