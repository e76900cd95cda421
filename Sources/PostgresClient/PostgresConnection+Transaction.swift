import CPostgres
import Logging

extension PostgresConnection {
    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws or its task
    /// is cancelled. Inside an open transaction it is a savepoint.
    nonisolated package func withTransaction<T: Sendable>(
        isolation: PostgresIsolation = .readCommitted, _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        if await isInTransaction { return try await withSavepoint(body) }
        try Task.checkCancellation()
        _ = try await command("BEGIN ISOLATION LEVEL \(isolation.rawValue)")
        do {
            let result = try await body(self)
            // Cancelled after its last statement: what the caller will not hear of must not be kept.
            try Task.checkCancellation()
            let tag = try await command("COMMIT", endsTransaction: true).commandTag
            guard tag == "COMMIT" else {
                throw PostgresError(
                    .transactionAborted,
                    "the server rolled the transaction back, because a statement in it had failed: let its error out of the body"
                )
            }
            return result
        } catch {
            await rollBack()
            throw error
        }
    }

    /// A transaction in two round trips instead of one for each step: `first` is read, then `body` says what to write.
    /// - Parameter body: gets the rows of each statement of `first`, and may ask for more; returns the result and the
    ///   statements that are sent together with COMMIT.
    nonisolated package func withTransaction<T: Sendable>(
        reading first: [(String, [PostgresValue])],
        _ body: (PostgresConnection, [PostgresRows]) async throws -> (result: T, writing: [(String, [PostgresValue])])
    ) async throws -> T {
        do {
            let begin = "BEGIN ISOLATION LEVEL \(PostgresIsolation.readCommitted.rawValue)"
            let rows = try await pipeline([(begin, [])] + first)
            let (result, statements) = try await body(self, Array(rows.dropFirst()))
            try Task.checkCancellation()
            let tag = try await pipeline(statements + [("COMMIT", [])]).last?.commandTag
            guard tag == "COMMIT" else {
                throw PostgresError(.transactionAborted, "the server rolled the transaction back")
            }
            return result
        } catch {
            await rollBack()
            throw error
        }
    }

    nonisolated private func withSavepoint<T: Sendable>(
        _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        _ = try await command("SAVEPOINT martlet")
        do {
            let result = try await body(self)
            _ = try await command("RELEASE SAVEPOINT martlet")
            return result
        } catch {
            do {
                _ = try await command("ROLLBACK TO SAVEPOINT martlet")
                _ = try await command("RELEASE SAVEPOINT martlet")
            } catch let second {
                logger.debug("PostgreSQL savepoint rollback failed", metadata: ["error": "\(second)"])
            }
            throw error
        }
    }

    /// Ends an open transaction, or the connection when that fails: the server then rolls back by itself.
    func rollBack() async {
        guard lossReason == nil, transactionStatus != PQTRANS_IDLE else { return }
        do {
            _ = try await command("ROLLBACK")
        } catch {
            lose(PostgresError(.connectionLost, "a rollback failed", cause: "\(error)"))
        }
    }
}
