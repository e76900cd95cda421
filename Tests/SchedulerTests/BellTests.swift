import Testing

@testable import Scheduler

@Suite(.timeLimit(.minutes(4))) struct BellTests {
    @Test func aRingEndsTheWait() async {
        let bell = Bell()
        async let isRung = bell.wait(atMost: .seconds(50))
        bell.ring()
        #expect(await isRung)
    }

    @Test func aRingBeforeTheWaitCountsOnce() async {
        let bell = Bell()
        bell.ring()
        bell.ring()
        await bell.wait(atMost: .seconds(50))
        #expect(await duration { _ = await bell.wait(atMost: .milliseconds(30)) } >= .milliseconds(30))
    }

    /// A wait that timed out once made every later one return at once, and two of the scheduler's loops spin.
    @Test func waitsAgainAfterAWaitThatTimedOut() async {
        let bell = Bell()
        #expect(await !bell.wait(atMost: .milliseconds(1)))
        #expect(await duration { _ = await bell.wait(atMost: .milliseconds(30)) } >= .milliseconds(30))
        bell.ring()
        await bell.wait(atMost: .seconds(50))
    }

    @Test func aWaitThatIsOverBeforeItBeganEnds() async {
        let bell = Bell()
        for _ in 0..<1_000 { await bell.wait(atMost: .zero) }
    }

    @Test func cancellationEndsTheWait() async {
        let bell = Bell()
        let task = Task { await bell.wait(atMost: .seconds(50)) }
        task.cancel()
        _ = await task.value
        #expect(await duration { _ = await bell.wait(atMost: .milliseconds(30)) } >= .milliseconds(30))
    }

    @Test func aWaitWithoutALimitEndsWithARingBeforeItOrDuringItAndWithCancellation() async {
        let bell = Bell()
        bell.ring()
        await bell.wait()
        async let waits: Void = bell.wait()
        bell.ring()
        await waits
        for cancelsFirst in [true, false] {
            let task = Task {
                while cancelsFirst, !Task.isCancelled { await Task.yield() }
                await bell.wait()
            }
            task.cancel()
            await task.value
        }
        // A wait that was cancelled takes no ring of a later one.
        bell.ring()
        #expect(await bell.wait(atMost: .seconds(50)))
    }

    private func duration(_ body: () async -> Void) async -> Duration {
        await ContinuousClock().measure { await body() }
    }
}
