import Pipeline
import PostgresClient

extension RunBatch {
    /// What writes everything that changed.
    func writing() -> [(String, [PostgresValue])] {
        var statements: [(String, [PostgresValue])] = []
        let dirty = runs.keys.sorted().flatMap { runs[$0]?.tasks.filter(\.isDirty) ?? [] }
        if !dirty.isEmpty { statements.append((SQL.results["update_tasks"], Self.columns(of: dirty))) }
        if !newFailures.isEmpty { statements.append((SQL.results["insert_failures"], failureColumns())) }
        for task in dirty {
            guard let gate = task.newOutput?.values[GateDecision.outputKey] else { continue }
            statements.append(
                (
                    SQL.results["insert_gate_decision"],
                    [
                        .text(task.run.description), .text(task.stage), .int(Int64(task.attempt)),
                        .bool(!task.isRejected), .text(gate.canonicalJSON),
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

    private static func columns(of tasks: [LedgerTask]) -> [PostgresValue] {
        [
            .textArray(tasks.map(\.run.description)), .textArray(tasks.map(\.stage)),
            .textArray(tasks.map(\.state.rawValue)), .intArray(tasks.map { Int64($0.attempt) }),
            .intArray(tasks.map { Int64($0.failures) }), .intArray(tasks.map { Int64($0.losses) }),
            .boolArray(tasks.map(\.isRejected)), .doubleArray(tasks.map { $0.dueIn.map { $0 / .seconds(1) } }),
            .textArray(tasks.map(\.newPayload)), .boolArray(tasks.map(\.becomesResourceRetry)),
            .textArray(tasks.map { $0.newOutput?.json }),
            .textArray(tasks.map { $0.failure?.withoutNUL.json }),
            .textArray(tasks.map { task in task.failure?.fingerprint(stageKind: task.kind) }),
            .textArray(tasks.map(\.token)), .textArray(tasks.map(\.worker)), .textArray(tasks.map(\.log)),
            .timestampArray(tasks.map { $0.startedAt.map(PostgresTimestamp.init) }),
            .timestampArray(tasks.map { $0.finishedAt.map(PostgresTimestamp.init) }),
        ]
    }

    private func failureColumns() -> [PostgresValue] {
        [
            .textArray(newFailures.map(\.task.run.description)), .textArray(newFailures.map(\.task.stage)),
            .intArray(newFailures.map { Int64($0.attempt) }), .textArray(newFailures.map(\.failure.class.rawValue)),
            .textArray(newFailures.map { $0.failure.withoutNUL.code }),
            .textArray(newFailures.map { $0.failure.withoutNUL.message }),
            .textArray(newFailures.map { $0.failure.withoutNUL.details?.canonicalJSON }),
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
