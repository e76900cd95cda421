import Coordination
import Pipeline
import Testing

/// Every answer that the claim's, the heartbeat's and the finish's script can give.
@Suite struct ClaimTests {
    @Test(.timeLimit(.minutes(1)))
    func aClaimIsTakenOnceAndEndsDone() async throws {
        try await withCoordinator { coordinator, _ in
            let first = Claim(coordinator: coordinator)
            try await coordinator.mirror([(first.task, 1)])
            #expect(try await first.standing()?.standing == .dispatched)
            #expect(try await first.claim() == .claimed)
            #expect(try await first.standing() == .init(attempt: 1, standing: .alive, worker: "w1"))
            guard case .held(let left) = try await first.by("w2", token: "i2.t2").claim() else {
                Issue.record("the second claim was not told that the lease is held")
                return
            }
            #expect(left > .seconds(25) && left <= .seconds(30))
            #expect(try await first.heartbeat(["fraction": 0.5]) == .ok)
            #expect(try await coordinator.progress(of: [first.task]) == [first.task: ["fraction": 0.5]])
            try await first.finish()
            #expect(try await first.standing()?.standing == .done)
            #expect(try await first.claim() == .done)
            #expect(try await first.heartbeat() == .lost)
        }
    }
}
