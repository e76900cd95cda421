import Ledger
import Pipeline
import PostgresClient
import TestServers
import Testing

@Suite struct MigrationTests {
    @Test(.timeLimit(.minutes(4)))
    func migratingAgainChangesNothing() async throws {
        try await withLedger { ledger, client in
            try await ledger.migrate()
            let rows = try await client.query("SELECT count(*) AS n FROM martlet.migrations")
            #expect(try rows[0]["n", as: Int.self] == Ledger.schemaVersion)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func manyProcessesMayMigrateAtOnce() async throws {
        try await withLedger(migrated: false) { ledger, client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 { group.addTask { try await ledger.migrate() } }
                try await group.waitForAll()
            }
            let rows = try await client.query("SELECT count(*) AS n FROM martlet.migrations")
            #expect(try rows[0]["n", as: Int.self] == Ledger.schemaVersion)
        }
    }

    /// What a ledger of the first version holds is all there afterwards.
    @Test(.timeLimit(.minutes(4)))
    func aLedgerInUseIsMigrated() async throws {
        try await withLedger { ledger, client in
            let run = newRun(.chain("a", "b"))
            _ = try await ledger.accept([run])
            for statement in [
                "ALTER TABLE martlet.tasks ADD CONSTRAINT tasks_run_id_fkey "
                    + "FOREIGN KEY (run_id) REFERENCES martlet.runs (id) ON DELETE CASCADE",
                "CREATE INDEX events_by_run ON martlet.events (run_id)",
                "DROP TABLE martlet.batch_parts, martlet.batches, martlet.files, martlet.rollout_probes, martlet.rollout_verdicts, martlet.rollout_sums, martlet.rollouts, martlet.usage_journals, "
                    + "martlet.usage, martlet.api_keys",
                "DELETE FROM martlet.migrations WHERE version > 1",
            ] { try await client.query(statement) }
            try await ledger.migrate()
            let rows = try await client.query(
                "SELECT count(*) AS n FROM pg_constraint WHERE conname = 'tasks_run_id_fkey'")
            #expect(try rows[0]["n", as: Int.self] == 0)
            #expect(try await ledger.run(run.id).tasks.count == run.pipeline.stages.count)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aNewerSchemaIsRefused() async throws {
        try await withLedger { ledger, client in
            try await client.query("INSERT INTO martlet.migrations (version, digest) VALUES (999, 'x')")
            let error = await #expect(throws: LedgerError.self) { try await ledger.migrate() }
            #expect(error?.code == .corrupt)
            #expect(error?.message.contains("version 999") == true)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aMigrationThatDiffersIsRefused() async throws {
        try await withLedger { ledger, client in
            try await client.query("UPDATE martlet.migrations SET digest = repeat('0', 64)")
            let error = await #expect(throws: LedgerError.self) { try await ledger.migrate() }
            #expect(error?.message.contains("migration 1") == true)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aMigrationThatIsGoneIsRefused() async throws {
        try await withLedger { ledger, client in
            // Version 1 was applied, and its row is lost: applying it again must not look like success.
            try await client.query("DELETE FROM martlet.migrations")
            await #expect(throws: PostgresError.self) { try await ledger.migrate() }
        }
    }
}
