import PostgresClient
import Testing

@Suite(.timeLimit(.minutes(4)))
struct TransactionTests {
    struct Refusal: Error {}

    @Test
    func commitsOnReturnAndRollsBackOnThrow() async throws {
        try await withClient { client in
            try await client.query("CREATE TABLE t (i int)")
            try await client.withTransaction { _ = try await $0.query("INSERT INTO t VALUES (1)") }
            await #expect(throws: Refusal.self) {
                try await client.withTransaction { connection in
                    _ = try await connection.query("INSERT INTO t VALUES (2)")
                    throw Refusal()
                }
            }
            #expect(try await client.query("SELECT i FROM t").map { try $0["i", as: Int.self] } == [1])
        }
    }

    @Test
    func rollsBackOnCancellationAndTheConnectionIsReused() async throws {
        try await withClient({ $0.maximumConnections = 1 }) { client in
            try await client.query("CREATE TABLE t (i int)")
            let process = try await client.withConnection { await $0.processID }
            let (started, signal) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                try await client.withTransaction { connection in
                    _ = try await connection.query("INSERT INTO t VALUES (1)")
                    signal.finish()
                    _ = try await connection.query("SELECT pg_sleep(30)")
                }
            }
            for await _ in started {}
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(try await client.query("SELECT count(*) AS n FROM t")[0]["n", as: Int.self] == 0)
            #expect(try await client.withConnection { await $0.processID } == process)
        }
    }

    @Test
    func aSwallowedErrorIsNotACommit() async throws {
        try await withClient { client in
            try await client.query("CREATE TABLE t (i int)")
            let error = await #expect(throws: PostgresError.self) {
                try await client.withTransaction { connection in
                    _ = try await connection.query("INSERT INTO t VALUES (1)")
                    _ = try? await connection.query("SELECT 1/0")
                }
            }
            #expect(error?.code == .transactionAborted)
            #expect(try await client.query("SELECT * FROM t").isEmpty)
        }
    }

    @Test
    func nestedScopesAreSavepoints() async throws {
        try await withClient { client in
            try await client.query("CREATE TABLE t (i int)")
            try await client.withTransaction { connection in
                _ = try await connection.query("INSERT INTO t VALUES (1)")
                await #expect(throws: PostgresError.self) {
                    try await connection.withTransaction { inner in
                        _ = try await inner.query("INSERT INTO t VALUES (2)")
                        _ = try await inner.query("SELECT 1/0")
                    }
                }
                _ = try await connection.query("INSERT INTO t VALUES (3)")
            }
            #expect(try await client.query("SELECT i FROM t ORDER BY i").map { try $0[0, as: Int.self] } == [1, 3])
        }
    }

    @Test
    func aDeadlockIsRetryableAndTheRetrySucceeds() async throws {
        try await withClient { client in
            try await client.execute(
                script: "CREATE TABLE t (i int PRIMARY KEY, n int); INSERT INTO t VALUES (1,0),(2,0)")
            let meet = Rendezvous()
            let deadlocks = Counter()
            @Sendable func both(_ first: Int, _ second: Int) async throws {
                var isFirstTry = true
                while true {
                    do {
                        return try await client.withTransaction { connection in
                            _ = try await connection.query("UPDATE t SET n = n + 1 WHERE i = $1", [.int(first)])
                            if isFirstTry { await meet.arrive() }
                            _ = try await connection.query("UPDATE t SET n = n + 1 WHERE i = $1", [.int(second)])
                        }
                    } catch let error as PostgresError where error.isDeadlock {
                        #expect(error.isRetryable)
                        isFirstTry = false
                        await deadlocks.add()
                    }
                }
            }
            async let one: Void = both(1, 2)
            async let two: Void = both(2, 1)
            _ = try await (one, two)
            // Both, if both look for it in the same moment.
            #expect((1...2).contains(await deadlocks.value))
            #expect(try await client.query("SELECT n FROM t").map { try $0[0, as: Int.self] } == [2, 2])
        }
    }

    @Test
    func serializationFailuresAreRetriedWithinTheBudget() async throws {
        try await withClient { client in
            try await client.execute(script: "CREATE TABLE t (n int); INSERT INTO t VALUES (0)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<5 {
                            try await client.withTransaction(isolation: .serializable, retries: 50) { connection in
                                let n = try await connection.query("SELECT n FROM t")[0][0, as: Int.self]
                                _ = try await connection.query("UPDATE t SET n = $1", [.int(n + 1)])
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await client.query("SELECT n FROM t")[0][0, as: Int.self] == 20)
        }
    }

    @Test
    func constraintsAreNamedAndValuesAreNot() async throws {
        try await withClient { client in
            try await client.query("CREATE TABLE people (mail text CONSTRAINT one_mail UNIQUE)")
            try await client.query("INSERT INTO people VALUES ($1)", ["private@example.org"])
            let error = await #expect(throws: PostgresError.self) {
                try await client.query("INSERT INTO people VALUES ($1)", ["private@example.org"])
            }
            #expect(error?.isUniqueViolation == true)
            #expect(error?.constraint == "one_mail")
            #expect(error?.table == "people")
            #expect(error?.isRetryable == false)
            #expect(error.map { "\($0)".contains("private@") } == false)
            #expect(error?.detail?.contains("private@") == true)
            let syntax = await #expect(throws: PostgresError.self) {
                try await client.query("SELECT $1::int", ["hush"])
            }
            #expect(syntax.map { "\($0)".contains("hush") } == false)
            #expect(syntax?.sqlState == "22P02")
        }
    }
}

actor Counter {
    private(set) var value = 0
    func add() { value += 1 }
}

/// Two callers wait for each other, once.
actor Rendezvous {
    private var first: CheckedContinuation<Void, Never>?
    private var isOver = false

    func arrive() async {
        guard !isOver else { return }
        if let first {
            isOver = true
            first.resume()
        } else {
            await withCheckedContinuation { first = $0 }
        }
    }
}
