import LocalStack
import TestServers
import Testing

@Suite struct TestServersTests {
    @Test(.timeLimit(.minutes(4)))
    func everyServerStartsAndAnswers() async throws {
        async let broker = TestServers.shared.rabbitMQ()
        async let redis = TestServers.shared.redis()
        async let database = TestServers.shared.postgres()
        async let s3 = TestServers.shared.s3()
        let urls = try await [broker.url, broker.managementURL, redis, database, s3.endpoint]
        #expect(urls.allSatisfy { $0.contains("127.0.0.1:") })
        #expect(try await TestServers.shared.mlflow().hasPrefix("http://127.0.0.1:"))
    }
}
