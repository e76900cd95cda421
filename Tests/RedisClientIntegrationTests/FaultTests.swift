import Glibc
import LocalStack
import RedisClient
import TestServers
import Testing

@Suite(.timeLimit(.minutes(3)))
struct FaultTests {
    @Test
    func aRestartIsBridgedForCommandsAndSubscribers() async throws {
        let stack = try await TestServers.fresh(.redis)
        let url = try await stack.endpoints().redisURL
        try await withClient(of: url, { $0.commandTimeout = .seconds(20) }) { client in
            var messages = client.subscribe(["news"], patterns: ["other.*"]).makeAsyncIterator()
            #expect(try await messages.next() == .subscribed)
            try await client.send("PUBLISH", "news", "one ž")
            #expect(try await messages.next()?.text == "one ž")
            try await client.send("PUBLISH", "other.x", .bytes([0xFF, 0]))
            #expect(
                try await messages.next() == .message(channel: "other.x", pattern: "other.*", payload: [0xFF, 0]))
            try await stack.signal(.redis, SIGKILL)
            let waiting = Task { try await client.send("ECHO", "waited") }
            try await eventually {
                do {
                    try await stack.start([.redis])
                    return true
                } catch let error as StackError where error.isRetryable {
                    return false
                }
            }
            // The command went out before the death was seen (unknown), or waited for the new server.
            do {
                #expect(try await waiting.value.string == "waited")
            } catch let error as RedisError {
                #expect(error.code == .outcomeUnknown)
            }
            #expect(try await messages.next() == .resubscribed)
            try await client.send("PUBLISH", "news", "two")
            #expect(try await messages.next()?.text == "two")
        }
        try await stack.stop()
    }

    @Test
    func aKilledConnectionFailsWhatWasInFlightAndServesTheNext() async throws {
        try await withClient({ $0.clientName = "victim-\(UInt64.random(in: 0 ... .max))" }) { client in
            let id = try #require(try await client.send("CLIENT", "ID").int)
            let blocked = Task {
                try await client.send(["BLPOP", .string(uniqueKey("never")), 0], timeout: .seconds(30))
            }
            try await withClient { other in
                try await eventually {
                    try await other.send("CLIENT", "LIST", "ID", .integer(id)).string?.contains("cmd=blpop") == true
                }
                try await other.send("CLIENT", "KILL", "ID", .integer(id))
            }
            let error = await #expect(throws: RedisError.self) { try await blocked.value }
            #expect(error?.code == .outcomeUnknown)
            #expect(error?.isRetryable == false)
            #expect(try await client.send("ECHO", "again").string == "again")
            let next = try #require(try await client.send("CLIENT", "ID").int)
            #expect(next != id)
            let name = try await client.send("CLIENT", "GETNAME").string
            #expect(name == client.configuration.clientName)
        }
    }

    @Test
    func aSilentServerTimesOutAndIsLeft() async throws {
        let stack = try await TestServers.fresh(.redis)
        let url = try await stack.endpoints().redisURL
        try await withClient(of: url, { $0.commandTimeout = .milliseconds(500) }) { client in
            try await client.send(["SET", "k", "v"], timeout: .seconds(10))
            try await stack.signal(.redis, SIGSTOP)
            let start = ContinuousClock.now
            let error = await #expect(throws: RedisError.self) { try await client.send("GET", "k") }
            #expect(error?.code == .timedOut)
            let second = await #expect(throws: RedisError.self) { try await client.send("GET", "k") }
            #expect(second?.isTransient == true)
            #expect(start.duration(to: .now) < .seconds(15))
            try await stack.signal(.redis, SIGCONT)
            #expect(try await client.send(["GET", "k"], timeout: .seconds(30)).string == "v")
        }
        try await stack.stop()
    }

    @Test
    func noServerIsARetryableErrorWithItsCause() async throws {
        try await withClient(of: "redis://127.0.0.1:1") { client in
            let error = await #expect(throws: RedisError.self) {
                try await client.send(["PING"], timeout: .seconds(10))
            }
            #expect(error?.code == .notConnected)
            #expect(error?.isRetryable == true)
            #expect(error?.cause?.contains("refused") == true)
        }
    }

    @Test
    func aWrongPasswordFailsAtOnceAndIsNotShown() async throws {
        let url = try await TestServers.shared.redis()
        let at = try #require(url.lastIndex(of: "@"))
        for credentials in [":wr0ng", "nobody:wr0ng", ""] {
            let wrong =
                "redis://" + credentials
                + (credentials.isEmpty ? String(url[url.index(after: at)...]) : String(url[at...]))
            let start = ContinuousClock.now
            try await withClient(of: wrong, { $0.commandTimeout = .seconds(30) }) { client in
                let error = await #expect(throws: RedisError.self) { try await client.send("PING") }
                #expect(error?.code == .authenticationFailed)
                #expect(error?.isRetryable == false)
                #expect(error.map { "\($0)".contains("wr0ng") } == false)
                var stream = client.subscribe(["x"]).makeAsyncIterator()
                await #expect(throws: RedisError.self) { try await stream.next() }
            }
            #expect(start.duration(to: .now) < .seconds(15))
        }
    }

    @Test
    func aReplyBeyondTheLimitEndsTheConnectionOnly() async throws {
        try await withClient({ $0.maximumReplyBytes = 1 << 20 }) { client in
            let key = uniqueKey("huge")
            try await client.send("SET", .string(key), .bytes([UInt8](repeating: 1, count: 4 << 20)), "EX", 60)
            let error = await #expect(throws: RedisError.self) { try await client.send("GET", .string(key)) }
            #expect(error?.cause?.contains("larger than") == true)
            #expect(try await client.send("DEL", .string(key)).int == 1)
        }
    }

    @Test
    func readOnlyReplicasAndFullMemoryAreNamed() async throws {
        let stack = try await TestServers.fresh(.redis)
        let url = try await stack.endpoints().redisURL
        try await withClient(of: url) { client in
            try await client.send("CONFIG", "SET", "maxmemory", "1")
            let full = await #expect(throws: RedisError.self) { try await client.send("SET", "k", "v") }
            #expect(full?.code == .outOfMemory)
            try await client.send("CONFIG", "SET", "maxmemory", "0")
            try await client.send("REPLICAOF", "127.0.0.1", "1")
            let replica = await #expect(throws: RedisError.self) { try await client.send("SET", "k", "v") }
            #expect(replica?.isRetryable == true)
            #expect(replica?.code == .readOnly || replica?.code == .unavailable)
        }
        try await stack.stop()
    }
}
