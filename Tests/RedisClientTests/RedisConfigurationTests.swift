import RedisClient
import Testing

struct RedisConfigurationTests {
    @Test
    func readsEveryPart() throws {
        let full = try RedisConfiguration(url: "redis://us%40er:p%2Fw%25@cache.example:7000/3")
        #expect(full.address == .tcp(host: "cache.example", port: 7000))
        #expect(full.user == "us@er")
        #expect(full.password == "p/w%")
        #expect(full.database == 3)
        #expect(full.description == "redis://cache.example:7000/3")
        var dumped = "\(full)\(String(reflecting: full))"
        dump([full], to: &dumped)
        #expect(!dumped.contains("p/w%"))
        let short = try RedisConfiguration(url: "redis://:only@[::1]")
        #expect(short.address == .tcp(host: "::1", port: 6379))
        #expect(short.user == nil)
        #expect(short.password == "only")
        #expect(try RedisConfiguration(url: "unix:///run/redis.sock?db=2").database == 2)
    }

    @Test
    func tlsIsRefusedWithAWayOut() {
        let error = #expect(throws: RedisError.self) { try RedisConfiguration(url: "rediss://:s3cret@host/0") }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.description.contains("TLS") == true)
    }

    @Test(arguments: [
        "", "host:6379", "http://host", "redis://", "redis://host:0", "redis://user:s3cret", "redis://:s3cret@host/x",
        "redis://user:s3%zz@host", "redis://user@host", "redis://h:1/0?s3cret", "unix://relative", "redis://[::1",
    ])
    func mistakesAreNamedWithoutThePassword(url: String) {
        let error = #expect(throws: RedisError.self) { try RedisConfiguration(url: url) }
        #expect(error?.code == .invalidConfiguration)
        #expect(error.map { String(describing: $0).contains("s3cret") } == false)
    }

    @Test
    func aScriptsNameIsItsSHA1() {
        // FIPS 180-1, appendix A.
        #expect(RedisScript(name: "abc", source: "abc").sha1 == "a9993e364706816aba3e25717850c26c9cd0d89d")
    }

    @Test(arguments: [
        ("WRONGPASS invalid username-password pair", RedisErrorCode.authenticationFailed),
        ("NOAUTH Authentication required.", .authenticationFailed),
        ("LOADING Redis is loading", .unavailable), ("READONLY You can't write", .readOnly),
        ("OOM command not allowed", .outOfMemory),
        ("ERR max number of clients reached", .tooManyClients), ("NOSCRIPT No matching script", .noScript),
    ])
    func errorRepliesAreClassified(reply: String, code: RedisErrorCode) async {
        #expect(RedisError(reply: reply).code == code)
    }
}
