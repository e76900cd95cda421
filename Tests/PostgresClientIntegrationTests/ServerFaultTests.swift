import Glibc
import LocalStack
import PostgresClient
import TestServers
import Testing

/// Each test has a server of its own, to stop, freeze or reconfigure.
@Suite(.timeLimit(.minutes(4)))
struct ServerFaultTests {
    @Test
    func aRestartIsBridgedForQueriesAndListeners() async throws {
        let stack = try await TestServers.fresh(.postgres)
        let url = try await stack.createDatabase("faults")
        try await withClient(of: url, { $0.acquireTimeout = .seconds(30) }) { client in
            try await client.query("CREATE TABLE t (i int)")
            var events = client.listen("Odd \"channel\"").makeAsyncIterator()
            #expect(try await events.next() == .listening)
            try await client.notify("Odd \"channel\"", "one ž")
            guard case .message(let first)? = try await events.next() else {
                Issue.record("no message")
                return
            }
            #expect(first.payload == "one ž")
            async let restart: Void = stack.restart(.postgres)
            #expect(try await events.next() == .reconnected)
            try await restart
            try await client.query("INSERT INTO t VALUES (1)")
            try await client.notify("Odd \"channel\"", "two")
            guard case .message(let second)? = try await events.next() else {
                Issue.record("no message")
                return
            }
            #expect(second.payload == "two")
        }
        try await stack.stop()
    }

    @Test
    func aServerThatIsDownIsNamedAndWaitedFor() async throws {
        let stack = try await TestServers.fresh(.postgres)
        let url = try await stack.createDatabase("faults")
        try await stack.stop([.postgres])
        try await withClient(of: url, { $0.acquireTimeout = .milliseconds(600) }) { client in
            let error = await #expect(throws: PostgresError.self) { try await client.query("SELECT 1") }
            #expect(error?.code == .connectionFailed)
            #expect(error?.isRetryable == true)
        }
        try await withClient(of: url, { $0.acquireTimeout = .seconds(30) }) { client in
            async let rows = client.query("SELECT 1 AS one")
            try await stack.start([.postgres])
            #expect(try await rows[0]["one", as: Int.self] == 1)
        }
        try await stack.stop()
    }

    @Test
    func aFrozenServerCostsTheConnectionAndNotTheCaller() async throws {
        let stack = try await TestServers.fresh(.postgres)
        let url = try await stack.createDatabase("faults")
        try await withClient(
            of: url,
            {
                $0.cancelGrace = .milliseconds(500)
                $0.connectTimeout = .seconds(1)
            }
        ) { client in
            // The server's processes have groups of their own: its session is frozen by itself.
            let session = try await client.withConnection { await $0.processID }
            try await stack.signal(.postgres, SIGSTOP)
            #expect(kill(session, SIGSTOP) == 0)
            defer { kill(session, SIGCONT) }
            let start = ContinuousClock.now
            let error = await #expect(throws: PostgresError.self) {
                try await client.query("SELECT 1", timeout: .milliseconds(300))
            }
            #expect(error?.code == .outcomeUnknown)
            #expect(start.duration(to: .now) < .seconds(20))
            try await stack.signal(.postgres, SIGCONT)
            #expect(try await client.query("SELECT 1 AS one")[0]["one", as: Int.self] == 1)
        }
        try await stack.stop()
    }

    @Test
    func sslModesAreHonoured() async throws {
        let stack = try await TestServers.fresh(.postgres)
        let url = try await stack.createDatabase("faults")
        try await withClient(of: url) { client in
            let refused = await #expect(throws: PostgresError.self) {
                try await withClient(of: url + "?sslmode=require") { try await $0.query("SELECT 1") }
            }
            #expect(refused?.code == .connectionFailed)
            #expect(refused?.isRetryable == false)
            let folder = try await client.query("SHOW data_directory")[0][0, as: String.self]
            for (name, subject) in [("server", "/CN=localhost"), ("other", "/CN=other")] {
                try await client.query(
                    "COPY (SELECT 1) TO PROGRAM 'openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj \(subject) "
                        + "-keyout \(folder)/\(name).key -out \(folder)/\(name).crt 2>/dev/null >/dev/null </dev/null'")
            }
            for setting in ["ssl = on", "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'"] {
                try await client.query("ALTER SYSTEM SET \(setting)")
            }
            try await client.query("SELECT pg_reload_conf()")
            try await eventually { try await client.query("SHOW ssl")[0][0, as: String.self] == "on" }
            let byName = url.replacing("127.0.0.1", with: "localhost")
            let inUse = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            let root = "&sslrootcert=\(folder)/server.crt"
            for (tail, encrypted) in [
                ("?sslmode=disable", false), ("?sslmode=require", true), ("?sslmode=verify-ca" + root, true),
                ("?sslmode=verify-full" + root, true),
            ] {
                let ssl = try await withClient(of: byName + tail) { try await $0.query(inUse)[0][0, as: Bool.self] }
                #expect(ssl == encrypted, "\(tail)")
            }
            // The certificate names localhost, not the address; and another root is not trusted.
            for bad in [
                url + "?sslmode=verify-full" + root, byName + "?sslmode=verify-ca&sslrootcert=\(folder)/other.crt",
            ] {
                let start = ContinuousClock.now
                let error = await #expect(throws: PostgresError.self) {
                    try await withClient(of: bad, { $0.acquireTimeout = .seconds(40) }) {
                        try await $0.query("SELECT 1")
                    }
                }
                #expect(error?.code == .connectionFailed)
                #expect(error?.isRetryable == false, "\(String(describing: error))")
                // Not tried until `acquireTimeout`.
                #expect(start.duration(to: .now) < .seconds(20))
            }
        }
        try await stack.stop()
    }
}
