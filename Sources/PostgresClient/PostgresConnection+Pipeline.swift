import CPostgres

extension PostgresConnection {
    /// Runs several statements in one round trip.
    ///
    /// Outside a transaction they form one: if a statement fails, those before it are rolled back and
    /// those after it do not run.
    /// - Returns: the rows of each statement, in order.
    /// - Throws: the first statement's error that failed; `statementIndex` says which.
    package func pipeline(
        _ batch: [(String, [PostgresValue])], timeout: Duration? = nil
    ) async throws -> [PostgresRows] {
        guard !batch.isEmpty else { return [] }
        let blocks = try batch.map { try ParameterBlock($0.1) }
        return try await withTurn {
            try await self.withServerTimeout(timeout) { timeout in
                for ((sql, _), block) in zip(batch, blocks) {
                    _ = try await self.preparedName(sql, key: block.key(of: sql), block, timeout: timeout)
                }
                do {
                    return try await self.runPipeline(batch, blocks, timeout: timeout)
                } catch let error as PostgresError where error.isStalePlan {
                    // Whoever tries again has them prepared anew.
                    for ((sql, _), block) in zip(batch, blocks) { self.statements.remove(block.key(of: sql)) }
                    throw error
                }
            }
        }
    }

    private func runPipeline(
        _ batch: [(String, [PostgresValue])], _ blocks: [ParameterBlock], timeout: Duration
    ) async throws -> [PostgresRows] {
        defer { leavePipeline() }
        let rows = try await transact(timeout: timeout, isPipeline: true, endsTransaction: true) { connection in
            guard PQenterPipelineMode(connection) == 1 else { return false }
            for ((sql, _), block) in zip(batch, blocks) {
                let name = self.statements.name(for: block.key(of: sql))
                let sent = block.withPointers { values, lengths, formats in
                    if let name {
                        PQsendQueryPrepared(connection, name, Int32(block.count), values, lengths, formats, 0)
                    } else {
                        PQsendQueryParams(
                            connection, sql, Int32(block.count), block.types, values, lengths, formats, 0)
                    }
                }
                guard sent == 1 else { return false }
            }
            return PQpipelineSync(connection) == 1
        }
        guard rows.count == batch.count else {
            throw PostgresError(
                .unsupported, "\(batch.count) statements were sent and \(rows.count) answers came back")
        }
        return rows
    }

    private func leavePipeline() {
        guard let handle, PQpipelineStatus(handle.pointer) != PQ_PIPELINE_OFF else { return }
        if PQexitPipelineMode(handle.pointer) != 1 {
            lose(PostgresError(.connectionLost, "libpq could not leave the pipeline: \(handle.errorMessage)"))
        }
    }
}
