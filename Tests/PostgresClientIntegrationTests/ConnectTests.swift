import PostgresClient
import TestServers
import Testing

@Suite(.timeLimit(.minutes(4)))
struct ConnectTests {
    @Test
    func aWrongPasswordFailsAtOnceAndIsNotShown() async throws {
        let url = try await TestServers.shared.postgres()
        let at = try #require(url.lastIndex(of: "@"))
        let colon = try #require(url[..<at].lastIndex(of: ":"))
        let wrong = url[...colon] + "not-the-password" + url[at...]
        let start = ContinuousClock.now
        let error = await #expect(throws: PostgresError.self) {
            try await withClient(of: String(wrong), { $0.acquireTimeout = .seconds(40) }) {
                try await $0.query("SELECT 1")
            }
        }
        #expect(error?.code == .connectionFailed)
        #expect(error?.isRetryable == false)
        #expect(start.duration(to: .now) < .seconds(20))
        #expect(error.map { "\($0)\(String(reflecting: $0))".contains("not-the-password") } == false)
    }

    @Test
    func anUnknownDatabaseFailsAtOnce() async throws {
        let url = try await TestServers.shared.postgres()
        let slash = try #require(url.lastIndex(of: "/"))
        let error = await #expect(throws: PostgresError.self) {
            try await withClient(of: url[...slash] + "no_such_database") { try await $0.query("SELECT 1") }
        }
        #expect(error?.isRetryable == false)
        #expect(error?.description.contains("no_such_database") == true)
    }

    @Test
    func aSilentAddressTimesOut() async throws {
        // A listening socket that nobody answers on.
        let silent = try SilentListener()
        let error = await #expect(throws: PostgresError.self) {
            try await withClient(
                of: "postgres://u:p@127.0.0.1:\(silent.port)/d",
                {
                    $0.connectTimeout = .milliseconds(300)
                    $0.acquireTimeout = .milliseconds(500)
                }
            ) { try await $0.query("SELECT 1") }
        }
        #expect(error?.code == .connectionFailed)
        #expect(error?.isRetryable == true)
    }
}
