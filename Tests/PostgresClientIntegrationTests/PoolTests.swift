import PostgresClient
import Testing

@Suite(.timeLimit(.minutes(4)))
struct PoolTests {
    @Test
    func neverMoreThanItsConnections() async throws {
        try await withClient({ $0.maximumConnections = 3 }) { client in
            let processes = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<60 {
                    group.addTask {
                        try await client.query("SELECT pg_backend_pid() AS pid, pg_sleep(0.005)")[0][
                            "pid", as: Int.self]
                    }
                }
                return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
            }
            #expect(processes.count <= 3)
        }
    }

    @Test
    func waitersGiveUpInTimeAndOnCancellation() async throws {
        try await withClient({
            $0.maximumConnections = 1
            $0.acquireTimeout = .seconds(2)
        }) { client in
            try await client.withConnection { connection in
                _ = try await connection.query("SELECT 1")
                let error = await #expect(throws: PostgresError.self) { try await client.query("SELECT 1") }
                #expect(error?.code == .poolExhausted)
                #expect(error?.isRetryable == true)
                let waiter = Task { try await client.query("SELECT 1") }
                waiter.cancel()
                await #expect(throws: CancellationError.self) { try await waiter.value }
            }
            try await client.query("SELECT 1")
        }
    }

    @Test
    func aWaiterLimitFailsAtOnce() async throws {
        try await withClient({
            $0.maximumConnections = 1
            $0.maximumWaiters = 0
        }) { client in
            let error = await #expect(throws: PostgresError.self) { try await client.query("SELECT 1") }
            #expect(error?.code == .poolExhausted)
        }
    }

    @Test
    func anOpenTransactionIsNotPassedOn() async throws {
        try await withClient({ $0.maximumConnections = 1 }) { client in
            try await client.query("CREATE TABLE t (i int)")
            try await client.withConnection { connection in
                _ = try await connection.query("BEGIN")
                _ = try await connection.query("INSERT INTO t VALUES (1)")
            }
            #expect(try await client.withConnection { await $0.isInTransaction } == false)
            #expect(try await client.query("SELECT * FROM t").isEmpty)
        }
    }

    @Test
    func aKilledIdleConnectionIsReplacedUnseen() async throws {
        try await withClient({ $0.maximumConnections = 2 }) { client in
            for _ in 0..<10 {
                try await client.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                #expect(try await client.query("SELECT 1 AS one")[0]["one", as: Int.self] == 1)
            }
        }
    }

    @Test
    func aConnectionKilledInMidStatementLeavesTheOutcomeOpen() async throws {
        try await withClient { client in
            let sql = "SELECT pg_sleep(30) /* killed */"
            let kill = """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE query LIKE '%/* killed */%' AND pid <> pg_backend_pid() AND datname = current_database()
                """
            let plain = Task { try await client.query(sql) }
            try await eventually { try await client.isRunning(sql) }
            try await client.query(kill)
            let open = await #expect(throws: PostgresError.self) { try await plain.value }
            #expect(open?.code == .outcomeUnknown)
            #expect(open?.isRetryable == false)
            #expect(open?.isTransient == true)

            let scoped = Task { try await client.withTransaction { try await $0.query(sql) } }
            try await eventually { try await client.isRunning(sql) }
            try await client.query(kill)
            let certain = await #expect(throws: PostgresError.self) { try await scoped.value }
            #expect(certain?.code == .connectionLost)
            #expect(certain?.isRetryable == true)
        }
    }

    @Test
    func closedMeansClosed() async throws {
        try await withClient { client in
            try await client.query("SELECT 1")
            await client.close()
            let error = await #expect(throws: PostgresError.self) { try await client.query("SELECT 1") }
            #expect(error?.code == .closed)
        }
    }
}
