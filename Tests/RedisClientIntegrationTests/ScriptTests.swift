import LocalStack
import RedisClient
import TestServers
import Testing

@Suite(.timeLimit(.minutes(4)))
struct ScriptTests {
    private let add = RedisScript(name: "add", source: "return redis.call('INCRBY', KEYS[1], ARGV[1])")
    private let put = RedisScript(name: "put", source: "return redis.call('SET', KEYS[1], ARGV[1])")

    /// A server of its own: FLUSHALL and SCRIPT FLUSH would hit the other tests.
    @Test
    func scriptsComeBackAfterEveryKindOfLoss() async throws {
        let stack = try await TestServers.fresh(.redis)
        let url = try await stack.endpoints().redisURL
        try await withClient(of: url, { $0.commandTimeout = .seconds(20) }) { client in
            #expect(try await client.run(add, keys: ["n"], arguments: [2]).int == 2)
            try await client.send("SCRIPT", "FLUSH")
            try await client.send("FLUSHALL")
            #expect(try await client.run(add, keys: ["n"], arguments: [3]).int == 3)
            try await stack.restart(.redis)
            try await client.send("DEL", "n")
            #expect(try await client.run(add, keys: ["n"], arguments: [4]).int == 4)
            let calls = [
                put.command(keys: ["m"], arguments: ["5"]), add.command(keys: ["m"], arguments: [1]), ["GET", "m"],
            ]
            for flushes in [false, true, false] {
                if flushes { try await client.send("SCRIPT", "FLUSH") }
                let results = try await client.pipeline(calls)
                #expect(try results[0].get() == .status("OK"))
                #expect(try results[1].get().int == 6)
            }
            #expect(try await client.send("GET", "m").string == "6")
        }
        try await stack.stop()
    }

    @Test
    func aScriptsErrorIsItsCallersError() async throws {
        try await withClient { client in
            let broken = RedisScript(name: "broken", source: "return redis.error_reply('MINE went wrong')")
            let error = await #expect(throws: RedisError.self) {
                try await client.run(broken, keys: [], arguments: [])
            }
            #expect(error?.message.hasPrefix("MINE went wrong") == true)
        }
    }
}
