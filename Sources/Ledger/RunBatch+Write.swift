import Pipeline
import PostgresClient

extension RunBatch {
    /// What writes everything that changed.
    func writing() throws -> [(String, [PostgresValue])] {
        var statements: [(String, [PostgresValue])] = []
        let dirty = runs.keys.sorted().flatMap { runs[$0]?.tasks.filter(\.isDirty) ?? [] }
        if !dirty.isEmpty { statements.append((SQL.results["update_tasks"], try Self.columns(of: dirty))) }
        if !newFailures.isEmpty { statements.append((SQL.results["insert_failures"], try failureColumns())) }
        for task in dirty {
            guard let gate = task.newOutput?.values[GateDecision.outputKey] else { continue }
            statements.append(
                (
                    SQL.results["insert_gate_decision"],
                    [
                        .text(task.run.description), .text(task.stage), .int(Int64(task.attempt)),
                        .bool(!task.isRejected), .text(try JSON.encode(gate)),
                    ]
                ))
        }
        let finished = runs.keys.sorted().compactMap { runs[$0] }.filter(\.isFinishedNow)
        if !finished.isEmpty {
            statements.append(
                (
                    SQL.results["update_runs"],
                    [
                        .textArray(finished.map(\.id.description)), .textArray(finished.map(\.state.rawValue)),
                        .textArray(finished.map { $0.reason?.withoutNUL }),
                    ]
                ))
        }
        return statements
    }

    private static func columns(of tasks: [LedgerTask]) throws -> [PostgresValue] {
        [
            .textArray(tasks.map(\.run.description)), .textArray(tasks.map(\.stage)),
            .textArray(tasks.map(\.state.rawValue)), .intArray(tasks.map { Int64($0.attempt) }),
            .intArray(tasks.map { Int64($0.failures) }), .intArray(tasks.map { Int64($0.losses) }),
            .boolArray(tasks.map(\.isRejected)), .doubleArray(tasks.map { $0.dueIn.map { $0 / .seconds(1) } }),
            .textArray(tasks.map(\.payload)),
            .textArray(try tasks.map { task in try task.newOutput.map { try JSON.encode($0) } }),
            .textArray(try tasks.map { task in try task.failure.map { try JSON.encode($0.withoutNUL) } }),
            .textArray(tasks.map { task in task.failure?.fingerprint(stageKind: task.kind) }),
            .textArray(tasks.map(\.token)), .textArray(tasks.map(\.worker)), .textArray(tasks.map(\.log)),
            .timestampArray(tasks.map { $0.startedAt.map(PostgresTimestamp.init) }),
            .timestampArray(tasks.map { $0.finishedAt.map(PostgresTimestamp.init) }),
        ]
    }

    private func failureColumns() throws -> [PostgresValue] {
        [
            .textArray(newFailures.map(\.task.run.description)), .textArray(newFailures.map(\.task.stage)),
            .intArray(newFailures.map { Int64($0.attempt) }), .textArray(newFailures.map(\.failure.class.rawValue)),
            .textArray(newFailures.map { $0.failure.withoutNUL.code }),
            .textArray(newFailures.map { $0.failure.withoutNUL.message }),
            .textArray(try newFailures.map { item in try item.failure.withoutNUL.details.map { try JSON.encode($0) } }),
            .textArray(newFailures.map(\.fingerprint)), .textArray(newFailures.map(\.worker)),
            .textArray(newFailures.map(\.log)),
            .timestampArray(newFailures.map { $0.startedAt.map(PostgresTimestamp.init) }),
        ]
    }
}

extension PostgresTimestamp {
    init(_ timestamp: Timestamp) {
        self.init(microseconds: timestamp.microseconds)
    }
}
