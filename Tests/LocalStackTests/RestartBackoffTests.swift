import LocalStack
import Testing

@Suite struct RestartBackoffTests {
    @Test func doublesUpToTheLongestAndStartsOverAfterAStableLife() {
        var backoff = RestartBackoff(first: .seconds(1), longest: .seconds(5), stable: .seconds(60))
        let delays = (0..<4).map { _ in backoff.delay(afterUptime: .seconds(2)) }
        #expect(delays == [.seconds(1), .seconds(2), .seconds(4), .seconds(5)])
        #expect(backoff.delay(afterUptime: .seconds(60)) == .seconds(1))
        #expect(backoff.delay(afterUptime: .zero) == .seconds(2))
    }
}
