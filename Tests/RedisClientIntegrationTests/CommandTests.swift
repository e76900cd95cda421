import RedisClient
import Testing

@Suite(.timeLimit(.minutes(4)))
struct CommandTests {
    @Test
    func repliesOfEveryKind() async throws {
        try await withClient { client in
            let key = uniqueKey("kinds")
            let bytes = Array(UInt8.min...UInt8.max) + Array("\r\n$5\r\n".utf8)
            #expect(try await client.send("SET", .string(key), .bytes(bytes), "EX", 60) == .status("OK"))
            #expect(try await client.send("GET", .string(key)).bytes == bytes)
            #expect(try await client.send("GET", .string(key + "absent")).isNull)
            #expect(try await client.send("STRLEN", .string(key)).int == bytes.count)
            let empty = try await client.send("EVAL", "return {1, {'ž', {}}, false, redis.error_reply('E x')}", 0)
            #expect(
                empty == .array([.integer(1), .array([.bytes(Array("ž".utf8)), .array([])]), .null, .error("E x")]))
            try await client.send("SET", .string(key), "", "EX", 60)
            #expect(try await client.send("GET", .string(key)).string == "")
            let hash = uniqueKey("hash")
            try await client.send("HSET", .string(hash), "a", 1, "b", .double(0.5))
            #expect(try await client.send("HGETALL", .string(hash)).dictionary?["b"]?.double == 0.5)
            try await client.send("DEL", .string(key), .string(hash))
        }
    }

    @Test
    func tenMegabytesGoBothWays() async throws {
        try await withClient { client in
            let key = uniqueKey("big")
            let bytes = [UInt8](repeating: 0xC5, count: 10 << 20)
            try await client.send("SET", .string(key), .bytes(bytes), "EX", 60)
            #expect(try await client.send("GET", .string(key)).bytes == bytes)
            try await client.send("DEL", .string(key))
        }
    }

    @Test
    func manyCallersKeepTheirOwnReplies() async throws {
        try await withClient { client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<64 {
                    group.addTask {
                        for round in 0..<100 {
                            let text = "\(caller)-\(round)"
                            let reply = try await client.send("ECHO", .string(text))
                            #expect(reply.string == text)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test
    func aPipelineGivesEachCommandItsResult() async throws {
        try await withClient { client in
            let key = uniqueKey("pipeline")
            let results = try await client.pipeline([
                ["SET", .string(key), "x", "EX", 60], ["INCR", .string(key)], ["GET", .string(key)],
                ["DEL", .string(key)],
            ])
            #expect(try results[0].get() == .status("OK"))
            guard case .failure(let error) = results[1] else {
                Issue.record("INCR of a text succeeded")
                return
            }
            #expect(error.code == .server)
            #expect(try results[2].get().string == "x")
            #expect(try results[3].get().int == 1)
        }
    }

    @Test
    func errorsAreClassifiedAndShowNoArguments() async throws {
        try await withClient { client in
            let key = uniqueKey("type")
            try await client.send("SET", .string(key), "x", "EX", 60)
            let type = await #expect(throws: RedisError.self) { try await client.send("LPUSH", .string(key), "y") }
            #expect(type?.code == .wrongType)
            let unknown = await #expect(throws: RedisError.self) { try await client.send("NOSUCH", "s3cret") }
            #expect(unknown.map { "\($0)".contains("s3cret") } == false)
            await #expect(throws: RedisError.self) { try await client.send([]) }
            try await client.send("DEL", .string(key))
        }
    }

    @Test
    func aCancelledWaitEndsAtOnceAndTheNextReplyFits() async throws {
        try await withClient({ $0.commandTimeout = .seconds(30) }) { client in
            let task = Task { try await client.send(["BLPOP", .string(uniqueKey("never")), 2], timeout: .seconds(30)) }
            try await eventually {
                try await withClient { try await $0.send("CLIENT", "LIST").string?.contains("cmd=blpop") == true }
            }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(try await client.send("ECHO", "mine").string == "mine")
        }
    }

    @Test
    func aDedicatedConnectionBlocksNobody() async throws {
        try await withClient { client in
            let list = uniqueKey("list")
            async let popped = client.withDedicatedConnection {
                try await $0.send(["BLPOP", .string(list), 0], timeout: .seconds(30))
            }
            #expect(try await client.send("ECHO", "free").string == "free")
            try await client.send("RPUSH", .string(list), "item")
            #expect(try await popped.array?.last?.string == "item")
            let late = await #expect(throws: RedisError.self) {
                try await client.withDedicatedConnection {
                    _ = try await $0.send(["PING"], timeout: .seconds(30))
                    return try await $0.send(["BLPOP", .string(list), 0], timeout: .milliseconds(200))
                }
            }
            #expect(late?.code == .timedOut)
        }
    }

    @Test
    func theQueueIsBounded() async throws {
        try await withClient(of: "redis://127.0.0.1:1", { $0.maximumOutstanding = 2 }) { client in
            let first = Task { try await client.pipeline([["PING"], ["PING"]], timeout: .milliseconds(500)) }
            let error = await #expect(throws: RedisError.self) {
                while true { try await client.send(["PING"], timeout: .milliseconds(50)) }
            }
            #expect(error?.isRetryable == true)
            await #expect(throws: RedisError.self) { try await first.value }
        }
    }
}
