import PostgresClient
import Testing

@Suite(.timeLimit(.minutes(4)))
struct StatementTests {
    @Test
    func aPipelineIsOneTransactionAndNamesTheStatementThatFailed() async throws {
        try await withClient { client in
            try await client.query("CREATE TABLE t (i int PRIMARY KEY)")
            let results = try await client.withConnection { connection in
                try await connection.pipeline([
                    ("INSERT INTO t SELECT generate_series(1, $1)", [3]),
                    ("SELECT i FROM t ORDER BY i", []),
                    ("SELECT count(*) FROM t WHERE i > $1", [1]),
                ])
            }
            #expect(results[0].affectedRows == 3)
            #expect(try results[1].map { try $0[0, as: Int.self] } == [1, 2, 3])
            #expect(try results[2][0][0, as: Int.self] == 2)
            let error = await #expect(throws: PostgresError.self) {
                try await client.pipeline([
                    ("INSERT INTO t VALUES (10)", []), ("INSERT INTO t VALUES (1)", []),
                    ("INSERT INTO t VALUES (11)", []),
                ])
            }
            #expect(error?.statementIndex == 1)
            #expect(error?.isUniqueViolation == true)
            #expect(try await client.query("SELECT count(*) FROM t")[0][0, as: Int.self] == 3)
        }
    }

    @Test
    func aLargePipelineDoesNotBlockOnItsOwnAnswers() async throws {
        try await withClient { client in
            let text = String(repeating: "x", count: 100_000)
            let batch = (0..<300).map { _ in ("SELECT $1::text || $1::text", [PostgresValue.text(text)]) }
            let results = try await client.pipeline(batch)
            #expect(results.count == 300)
            #expect(try results.allSatisfy { try $0[0][0, as: String.self].utf8.count == 200_000 })
        }
    }

    @Test
    func timeoutsStopTheStatementAndKeepTheConnection() async throws {
        try await withClient({ $0.maximumConnections = 1 }) { client in
            let process = try await client.withConnection { await $0.processID }
            let start = ContinuousClock.now
            let error = await #expect(throws: PostgresError.self) {
                try await client.query("SELECT pg_sleep(30)", timeout: .milliseconds(300))
            }
            #expect(error?.code == .timedOut)
            #expect(error?.isTransient == true)
            #expect(start.duration(to: .now) < .seconds(20))
            for _ in 0..<50 { try await client.query("SELECT 1") }
            #expect(try await client.withConnection { await $0.processID } == process)
        }
    }

    @Test
    func theServerHoldsTheStatementTimeoutToo() async throws {
        try await withClient({ $0.statementTimeout = .milliseconds(300) }) { client in
            let error = await #expect(throws: PostgresError.self) { try await client.query("SELECT pg_sleep(30)") }
            #expect(error?.code == .timedOut)
            // A longer limit of one call lifts the server's as well, for that call.
            try await client.query("SELECT pg_sleep(0.8)", timeout: .seconds(10))
            await #expect(throws: PostgresError.self) { try await client.query("SELECT pg_sleep(30)") }
        }
    }

    @Test
    func cancellationStopsTheStatementOnTheServer() async throws {
        try await withClient { client in
            for _ in 0..<20 {
                let sql = "SELECT pg_sleep(30) /* cancelled */"
                let task = Task { try await client.query(sql) }
                try await eventually { try await client.isRunning(sql) }
                task.cancel()
                await #expect(throws: CancellationError.self) { try await task.value }
                #expect(try await !client.isRunning(sql))
                #expect(try await client.query("SELECT 1 AS one")[0]["one", as: Int.self] == 1)
            }
        }
    }

    @Test
    func preparedStatementsAreReusedEvictedAndSurviveChanges() async throws {
        try await withClient({
            $0.maximumConnections = 1
            $0.preparedStatementLimit = 4
        }) { client in
            for round in 0..<3 {
                for number in 0..<10 {
                    let rows = try await client.query("SELECT $1::int + \(number) AS n", [.int(round)])
                    #expect(try rows[0]["n", as: Int.self] == round + number)
                }
            }
            let kept = try await client.query("SELECT count(*) AS n FROM pg_prepared_statements")
            #expect(try kept[0]["n", as: Int.self] <= 4)
            try await client.query("CREATE TABLE t (a int)")
            for _ in 0..<3 { try await client.query("SELECT * FROM t") }
            try await client.query("ALTER TABLE t ADD b int")
            #expect(try await client.query("SELECT * FROM t").columns.map(\.name) == ["a", "b"])
            for _ in 0..<3 { try await client.query("SELECT a FROM t") }
            try await client.query("DEALLOCATE ALL")
            try await client.query("SELECT a FROM t")
        }
    }

    @Test
    func copyIsRefusedWithAWayOut() async throws {
        try await withClient { client in
            let error = await #expect(throws: PostgresError.self) {
                try await client.query("COPY (SELECT 1) TO STDOUT")
            }
            #expect(error?.code == .unsupported)
            try await client.query("SELECT 1")
        }
    }
}
