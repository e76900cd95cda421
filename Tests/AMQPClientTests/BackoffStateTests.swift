import AMQPClient
import Testing

@testable import struct AMQPClient.BackoffState

@Suite struct BackoffStateTests {
    @Test func doublesUpToTheMaximumAndStartsAgain() {
        var backoff = BackoffState(.init(initial: .milliseconds(100), maximum: .seconds(1)))
        #expect(
            (0..<6).map { _ in backoff.next(jitter: 1) } == [100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) })
        backoff.reset()
        #expect(backoff.next(jitter: 0.5) == .milliseconds(50))
        for _ in 0..<100 { #expect(backoff.next() <= .seconds(1)) }
    }
}
