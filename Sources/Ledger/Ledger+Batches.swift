package import Pipeline
import PostgresClient

/// A part of a batch that a gateway works on.
package struct HeldPart: Hashable, Sendable {
    package var batch: Batch
    package var part: BatchPart
    /// How often the part was begun, this time included.
    package var attempt: Int
}

/// A part of a batch as it stands when the batch is put together.
package struct StoredPart: Hashable, Sendable {
    package var part: BatchPart
    package var attempt: Int
    package var isDone: Bool
    package var hasOutput: Bool
    package var hasErrors: Bool
}

// MARK: Files

extension Ledger {
    /// Keeps what a file is; one that is known changes nothing.
    package func createFile(_ file: BatchFile) async throws {
        _ = try await postgres.query(
            SQL.batches["create_file"],
            [
                .text(file.id), .text(file.team), .text(file.filename), .text(file.purpose.rawValue), .int(file.bytes),
                .text(file.sha256),
            ])
    }

    /// - Parameter team: whose it must be; nil for whosever.
    package func file(_ id: String, team: String?) async throws -> BatchFile? {
        try await postgres.query(SQL.batches["file"], [.text(id), team.map { .text($0) } ?? .null]).first
            .map(Self.file)
    }

    /// The latest first.
    /// - Parameter after: the last one of the page before.
    package func files(
        team: String, purpose: String?, after: String?, limit: Int
    ) async throws -> [BatchFile] {
        try await postgres.query(
            SQL.batches["list_files"],
            [
                .text(team), purpose.map { .text($0) } ?? .null, after.map { .text($0) } ?? .null, .int(Int64(limit)),
            ]
        ).map(Self.file)
    }

    /// Forgets a file; its bytes are the caller's to remove.
    /// - Throws: ``LedgerError`` `notFound`; `refused` while a batch reads it.
    package func deleteFile(_ id: String, team: String) async throws {
        try await postgres.withTransaction { connection in
            guard try await !connection.query(SQL.batches["lock_file"], [.text(id), .text(team)]).isEmpty else {
                throw LedgerError(.notFound, "there is no file \(id)")
            }
            if let row = try await connection.query(SQL.batches["reader_of_file"], [.text(id)]).first {
                let batch = try row["id", as: String.self]
                throw LedgerError(
                    .refused, "\(batch) still reads the file \(id): wait for its end, or cancel it")
            }
            _ = try await connection.query(SQL.batches["delete_file"], [.text(id), .text(team)])
        }
    }

    private static func file(_ row: PostgresRow) throws -> BatchFile {
        BatchFile(
            id: try row["id", as: String.self], team: try row["team", as: String.self],
            filename: try row["filename", as: String.self], purpose: try row.enumeration("purpose"),
            bytes: try row["bytes", as: Int64.self], sha256: try row["sha256", as: String.self],
            created: try row.timestamp("created_at"))
    }
}

// MARK: Batches

extension Ledger {
    /// Begins a batch.
    /// - Parameter window: seconds in which it must be answered.
    /// - Throws: ``LedgerError`` `notFound` when the team has no such file.
    package func createBatch(_ batch: Batch, window: Int) async throws -> Batch {
        let metadata = JSONValue.object(batch.metadata.mapValues { .string($0) }).canonicalJSON
        return try await postgres.withTransaction { connection in
            let file = try await connection.query(
                SQL.batches["lock_file"], [.text(batch.inputFile), .text(batch.team)])
            guard !file.isEmpty else { throw LedgerError(.notFound, "there is no file \(batch.inputFile)") }
            let rows = try await connection.query(
                SQL.batches["create_batch"],
                [
                    .text(batch.id), .text(batch.team), .int(Int64(batch.key)), .text(batch.endpoint),
                    .text(batch.inputFile), .json(metadata), .double(Double(window)),
                ])
            guard let row = rows.first else { throw LedgerError(.corrupt, "the new batch is not there") }
            return try Self.batch(row)
        }
    }

    /// - Parameter team: whose it must be; nil for whosever.
    package func batch(_ id: String, team: String?) async throws -> Batch? {
        try await postgres.query(SQL.batches["batch"], [.text(id), team.map { .text($0) } ?? .null]).first
            .map(Self.batch)
    }

    /// The latest first.
    /// - Parameters:
    ///   - team: whose; nil for all.
    ///   - after: the last one of the page before.
    package func batches(team: String?, after: String?, limit: Int) async throws -> [Batch] {
        try await postgres.query(
            SQL.batches["list_batches"],
            [team.map { .text($0) } ?? .null, after.map { .text($0) } ?? .null, .int(Int64(limit))]
        ).map(Self.batch)
    }

    /// Asks for a batch's end; what was answered so far is kept.
    /// - Throws: ``LedgerError`` `notFound`; `refused` when it ends or has ended already.
    package func cancelBatch(_ id: String, team: String?) async throws -> Batch {
        let rows = try await postgres.query(
            SQL.batches["cancel_batch"], [.text(id), team.map { .text($0) } ?? .null])
        if let row = rows.first { return try Self.batch(row) }
        guard let batch = try await batch(id, team: team) else {
            throw LedgerError(.notFound, "there is no batch \(id)")
        }
        throw LedgerError(.refused, "\(id) is \(batch.status.rawValue): there is nothing to cancel")
    }
}

// MARK: For those who work on them

extension Ledger {
    /// Takes a batch whose file is to be checked, or that is to be put together, for so many seconds.
    package func claimBatch(holder: String, seconds: Int) async throws -> Batch? {
        try await postgres.query(SQL.batches["claim_batch"], [.text(holder), .double(Double(seconds))]).first
            .map(Self.batch)
    }

    /// Keeps a batch for so many seconds more.
    /// - Returns: what it is now; nil when it is somebody else's by now, or over.
    package func holdBatch(_ id: String, holder: String, seconds: Int) async throws -> Batch.Status? {
        try await postgres.query(
            SQL.batches["hold_batch"], [.text(id), .text(holder), .double(Double(seconds))]
        ).first?.enumeration("status")
    }

    /// Gives a batch back, to be taken again after so many seconds.
    package func releaseBatch(_ id: String, holder: String, after seconds: Double) async throws {
        _ = try await postgres.query(SQL.batches["release_batch"], [.text(id), .text(holder), .double(seconds)])
    }

    /// The file is as it must be: its parts may be worked on.
    /// - Returns: false when the batch is somebody else's by now, or was cancelled.
    package func beginBatch(_ id: String, holder: String, parts: [BatchPart]) async throws -> Bool {
        try await postgres.withTransaction { connection in
            let total = parts.reduce(0) { $0 + $1.lines }
            let rows = try await connection.query(
                SQL.batches["begin_batch"], [.text(id), .text(holder), .int(Int64(total))])
            guard !rows.isEmpty else { return false }
            _ = try await connection.query(
                SQL.batches["add_parts"],
                [
                    .text(id), .intArray(parts.map(\.number)), .intArray(parts.map(\.offset)),
                    .intArray(parts.map(\.bytes)), .intArray(parts.map(\.firstLine)), .intArray(parts.map(\.lines)),
                ])
            return true
        }
    }

    /// Ends a batch.
    /// - Parameters:
    ///   - files: what was written for it; they are there together with its end, or not at all.
    ///   - unanswered: lines that were not asked at all.
    ///   - total: lines of a file that was not taken; 0 where they are counted already.
    /// - Returns: false when the batch is somebody else's by now.
    package func endBatch(
        _ id: String, holder: String, status: Batch.Status, faults: [Batch.Fault] = [], output: BatchFile? = nil,
        errors: BatchFile? = nil, unanswered: Int = 0, total: Int = 0
    ) async throws -> Bool {
        let told = JSONValue.array(faults.map(\.json)).withoutNUL.canonicalJSON
        return try await postgres.withTransaction { connection in
            let rows = try await connection.query(
                SQL.batches["end_batch"],
                [
                    .text(id), .text(holder), .text(status.rawValue), .json(told),
                    output.map { .text($0.id) } ?? .null, errors.map { .text($0.id) } ?? .null,
                    .int(Int64(unanswered)), .int(Int64(total)),
                ])
            guard !rows.isEmpty else { return false }
            for file in [output, errors].compactMap(\.self) {
                _ = try await connection.query(
                    SQL.batches["create_file"],
                    [
                        .text(file.id), .text(file.team), .text(file.filename), .text(file.purpose.rawValue),
                        .int(file.bytes), .text(file.sha256),
                    ])
            }
            return true
        }
    }

    /// Takes the next part that nobody works on, for so many seconds.
    package func claimPart(holder: String, seconds: Int) async throws -> HeldPart? {
        let rows = try await postgres.query(SQL.batches["claim_part"], [.text(holder), .double(Double(seconds))])
        return try rows.first.map { row in
            HeldPart(
                batch: try Self.batch(row), part: try Self.part(row), attempt: try row["attempt", as: Int.self])
        }
    }

    /// Keeps a part for so many seconds more.
    package func holdPart(_ held: HeldPart, holder: String, seconds: Int) async throws -> PartHold {
        let rows = try await postgres.query(
            SQL.batches["hold_part"],
            [
                .text(held.batch.id), .int(Int64(held.part.number)), .text(holder), .double(Double(seconds)),
                .int(Int64(held.attempt)),
            ])
        guard let row = rows.first else { return .lost }
        if try row["status", as: String.self] == Batch.Status.cancelling.rawValue { return .cancelled }
        return try row["is_expired", as: Bool.self] ? .expired : .held
    }

    /// Whose a part of a batch is that somebody works on.
    package enum PartHold: Sendable {
        case held
        /// It is this holder's, and its batch is over: nothing more is to be asked.
        case cancelled
        case expired
        /// It is somebody else's by now.
        case lost
    }

    /// Gives a part back, to be taken again after so many seconds.
    package func releasePart(_ held: HeldPart, holder: String, after seconds: Double) async throws {
        _ = try await postgres.query(
            SQL.batches["release_part"],
            [
                .text(held.batch.id), .int(Int64(held.part.number)), .text(holder), .int(Int64(held.attempt)),
                .double(seconds),
            ])
    }

    /// Takes what a part came to; once, whoever comes second.
    /// - Throws: ``PartLost`` when the part is somebody else's by now: what was written for it counts for nothing.
    package func finishPart(
        _ held: HeldPart, holder: String, sum: Batch.Sum, hasOutput: Bool, hasErrors: Bool
    ) async throws {
        let id = PostgresValue.text(held.batch.id)
        try await postgres.withTransaction { connection in
            // The batch first, so that of two last parts one sees the other; one that is put together takes nothing more.
            let batches = try await connection.query(
                SQL.batches["add_to_batch"],
                [
                    id, .int(Int64(sum.completed)), .int(Int64(sum.failed)), .int(Int64(sum.promptTokens)),
                    .int(Int64(sum.cachedTokens)), .int(Int64(sum.completionTokens)), .int(sum.cost),
                ])
            guard !batches.isEmpty else { throw PartLost() }
            let rows = try await connection.query(
                SQL.batches["finish_part"],
                [
                    id, .int(Int64(held.part.number)), .text(holder), .bool(hasOutput), .bool(hasErrors),
                    .int(Int64(held.attempt)),
                ])
            guard !rows.isEmpty else { throw PartLost() }
            _ = try await connection.query(SQL.batches["finalize_if_done"], [id])
        }
    }

    /// A part is somebody else's by now.
    package struct PartLost: Error {}

    /// A batch that is over and whose parts are still there.
    package func endedBatchWithParts() async throws -> String? {
        try await postgres.query(SQL.batches["ended_with_parts"], []).first?["batch", as: String.self]
    }

    /// Forgets a batch's parts; what they wrote is the caller's to remove, before.
    package func dropParts(of batch: String) async throws {
        _ = try await postgres.query(SQL.batches["drop_parts"], [.text(batch)])
    }

    package func parts(of batch: String) async throws -> [StoredPart] {
        try await postgres.query(SQL.batches["parts"], [.text(batch)]).map { row in
            StoredPart(
                part: try Self.part(row), attempt: try row["attempt", as: Int.self],
                isDone: try row["is_done", as: Bool.self], hasOutput: try row["has_output", as: Bool.self],
                hasErrors: try row["has_errors", as: Bool.self])
        }
    }

    private static func part(_ row: PostgresRow) throws -> BatchPart {
        BatchPart(
            number: try row["part", as: Int.self], offset: try row["byte_offset", as: Int64.self],
            bytes: try row["bytes", as: Int64.self], firstLine: try row["first_line", as: Int.self],
            lines: try row["lines", as: Int.self])
    }

    private static func batch(_ row: PostgresRow) throws -> Batch {
        var batch = Batch(
            id: try row["id", as: String.self], team: try row["team", as: String.self],
            key: try row["key_id", as: Int.self], endpoint: try row["endpoint", as: String.self],
            inputFile: try row["input_file", as: String.self])
        batch.status = try row.enumeration("status")
        let metadata = try JSON.decode(JSONValue.self, from: try row["metadata", as: String.self])
        batch.metadata = metadata.objectValue?.compactMapValues(\.stringValue) ?? [:]
        batch.total = try row["total", as: Int.self]
        batch.sum.completed = try row["completed", as: Int.self]
        batch.sum.failed = try row["failed", as: Int.self]
        batch.sum.promptTokens = try row["prompt_tokens", as: Int.self]
        batch.sum.cachedTokens = try row["cached_tokens", as: Int.self]
        batch.sum.completionTokens = try row["completion_tokens", as: Int.self]
        batch.sum.cost = try row["cost", as: Int64.self]
        let faults = try JSON.decode(JSONValue.self, from: try row["faults", as: String.self])
        batch.faults = faults.arrayValue?.compactMap(Batch.Fault.init(json:)) ?? []
        batch.outputFile = try row["output_file", as: String?.self]
        batch.errorFile = try row["error_file", as: String?.self]
        batch.times.created = try row.timestamp("created_at")
        batch.times.expires = try row.timestamp("expires_at")
        batch.times.started = try row.optionalTimestamp("started_at")
        batch.times.finalizing = try row.optionalTimestamp("finalizing_at")
        batch.times.cancelling = try row.optionalTimestamp("cancelling_at")
        batch.times.ended = try row.optionalTimestamp("ended_at")
        return batch
    }
}

extension Batch.Fault {
    /// As OpenAI's API tells it.
    package var json: JSONValue {
        .object([
            "code": .string(code), "line": line.map { .int(Int64($0)) } ?? .null, "message": .string(message),
            "param": parameter.map { .string($0) } ?? .null,
        ])
    }

    fileprivate init?(json: JSONValue) {
        guard let code = json["code"]?.stringValue, let message = json["message"]?.stringValue else { return nil }
        self.init(
            code: code, line: json["line"]?.intValue.map { Int($0) }, message, parameter: json["param"]?.stringValue)
    }
}
