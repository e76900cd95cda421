import Coordination
import Pipeline
import Testing

/// Every answer that the claim's, the heartbeat's and the finish's script can give.
@Suite struct ClaimTests {
    @Test(.timeLimit(.minutes(4)))
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
            #expect(left > .seconds(10) && left <= .seconds(30))
            #expect(try await first.heartbeat(["fraction": 0.5]) == .ok)
            #expect(try await coordinator.progress(of: [first.task]) == [first.task: ["fraction": 0.5]])
            try await first.finish()
            #expect(try await first.standing()?.standing == .done)
            #expect(try await first.claim() == .done)
            #expect(try await first.heartbeat() == .lost)
        }
    }

    /// Several at a time are what as many one by one would be.
    @Test(.timeLimit(.minutes(4)))
    func severalClaimsAreAnsweredInOrderAndEachGetsItsOwnLease() async throws {
        try await withCoordinator { coordinator, redis in
            func wanted(_ run: String, _ attempt: Int = 1, token: String) -> Coordinator.Claim {
                Coordinator.Claim(
                    task: TaskID(run: RunID(run), stage: "a"), attempt: attempt, token: ClaimToken(token))
            }
            try await coordinator.mirror([(wanted("stale", token: "").task, 2)])
            try await coordinator.setCancelled(RunID("cancelled"))
            let others = try await coordinator.claim(
                [wanted("held", token: "o1"), wanted("done", token: "o2")], worker: "other", lease: .seconds(30))
            #expect(others == [.claimed, .claimed])
            try await coordinator.finish([wanted("done", token: "o2")], worker: "other")

            let claims = [
                wanted("stale", token: "t1"), wanted("first", token: "t2"), wanted("held", token: "t3"),
                wanted("cancelled", token: "t4"), wanted("second", 3, token: "t5"), wanted("done", token: "t6"),
                wanted("first", token: "t7"), wanted("third", token: "t8"),
            ]
            let outcomes = try await coordinator.claim(claims, worker: "w1", lease: .seconds(30))
            let words = outcomes.map { outcome in
                if case .held = outcome { "held" } else { "\(outcome)" }
            }
            #expect(words == ["stale", "claimed", "held", "cancelled", "claimed", "done", "held", "claimed"])
            let tasks = claims.map(\.task)
            let standings = try await coordinator.standings(of: tasks)
            #expect(standings.map(\.attempt) == [2, 1, 1, 0, 3, 1, 1, 1])
            #expect(
                standings.map(\.standing)
                    == [.dispatched, .alive, .alive, .unknown, .alive, .done, .alive, .alive])
            #expect(standings.map(\.worker) == [nil, "w1", "other", nil, "w1", "other", "w1", "w1"])

            // One of those that end has lost its lease to a later attempt meanwhile.
            let later = wanted("second", 4, token: "o3")
            #expect(try await coordinator.claim([later], worker: "other", lease: .seconds(30)) == [.claimed])
            try await coordinator.finish([claims[1], claims[4], claims[7]], worker: "w1")
            let ended = try await coordinator.standings(of: [claims[1].task, claims[4].task, claims[7].task])
            #expect(ended.map(\.standing) == [.done, .alive, .done])
            #expect(ended.map(\.attempt) == [1, 4, 1])
            // Nothing is left of what that worker held, and all of what the other does.
            #expect(try await coordinator.release(worker: "w1", keepingInstance: nil).isEmpty)
            #expect(
                Set(try await coordinator.release(worker: "other", keepingInstance: nil)) == ["held/a", "second/a"])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aClaimNeedsNoMirror() async throws {
        try await withCoordinator { coordinator, _ in
            let claim = Claim(coordinator: coordinator)
            let before = try await claim.standing()
            #expect(before == .init(attempt: 0, standing: .unknown, worker: nil))
            let outcome = try await claim.claim()
            #expect(outcome == .claimed)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func anOldAttemptIsStale() async throws {
        try await withCoordinator { coordinator, _ in
            let claim = Claim(coordinator: coordinator)
            try await coordinator.mirror([(claim.task, 3)])
            #expect(try await claim.claim() == .stale)
            // A mirror never goes back.
            try await coordinator.mirror([(claim.task, 1)])
            #expect(try await claim.standing()?.attempt == 3)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aCancelledRunIsNotClaimedAndItsHeartbeatsSayStop() async throws {
        try await withCoordinator { coordinator, _ in
            let claim = Claim(coordinator: coordinator)
            #expect(try await claim.claim() == .claimed)
            try await coordinator.setCancelled(claim.task.run)
            #expect(try await claim.heartbeat() == .cancel)
            var other = claim
            other.task.stage = "b"
            #expect(try await other.claim() == .cancelled)
            try await coordinator.clearCancelled(claim.task.run)
            #expect(try await claim.heartbeat() == .ok)
            #expect(try await other.claim() == .claimed)
        }
    }

    /// What runs whatever became of the run must also tell of its cancellation.
    @Test(.timeLimit(.minutes(4)))
    func aTaskOfACancelledRunThatAlwaysRunsIsNotStopped() async throws {
        try await withCoordinator { coordinator, _ in
            let claim = Claim(coordinator: coordinator)
            try await coordinator.setCancelled(claim.task.run)
            var wanted = claim.wanted
            wanted.isUncancellable = true
            #expect(try await coordinator.claim([wanted], worker: "w1", lease: claim.lease) == [.claimed])
            let reply = try await coordinator.heartbeat(
                claim.task, attempt: 1, token: claim.token, worker: "w1", lease: claim.lease, progress: nil,
                isUncancellable: true)
            #expect(reply == .ok)
        }
    }

    /// The answer to the first claim was lost, and the lease may have run out since.
    @Test(.timeLimit(.minutes(4)), arguments: [Duration.seconds(30), .milliseconds(50)])
    func aClaimIsRepeatedWithItsToken(lease: Duration) async throws {
        try await withCoordinator { coordinator, _ in
            var claim = Claim(coordinator: coordinator)
            claim.lease = lease
            #expect(try await claim.claim() == .claimed)
            if lease < .seconds(1) { try await eventually { try await claim.standing()?.standing == .abandoned } }
            claim.lease = .seconds(30)
            #expect(try await claim.claim() == .claimed)
            #expect(try await claim.standing()?.standing == .alive)
            try await claim.finish()
            #expect(try await claim.claim() == .done)
        }
    }

    /// A lease that ran out: nobody else may claim that attempt, its holder may go on, the next attempt is free.
    @Test(.timeLimit(.minutes(4)))
    func anExpiredLease() async throws {
        try await withCoordinator { coordinator, _ in
            var claim = Claim(coordinator: coordinator)
            claim.lease = .milliseconds(50)
            #expect(try await claim.claim() == .claimed)
            try await eventually { try await claim.standing()?.standing == .abandoned }
            #expect(try await claim.by("w2", token: "i2.t2").claim() == .lost)
            #expect(try await claim.by("w2", token: "i2.t2").heartbeat() == .lost)
            claim.lease = .seconds(30)
            #expect(try await claim.heartbeat() == .ok)
            #expect(try await claim.standing()?.standing == .alive)
        }
    }

    /// The attempt after a loss is not held up by a holder that woke, and tells it to stop.
    @Test(.timeLimit(.minutes(4)))
    func theNextAttemptTakesTheLeaseFromTheOneBefore() async throws {
        try await withCoordinator { coordinator, _ in
            let zombie = Claim(coordinator: coordinator)
            #expect(try await zombie.claim() == .claimed)
            try await coordinator.mirror([(zombie.task, 2)])
            let next = zombie.by("w2", token: "i2.t2", attempt: 2)
            #expect(try await next.claim() == .claimed)
            #expect(try await zombie.heartbeat() == .lost)
            #expect(try await next.heartbeat() == .ok)
            try await zombie.finish()
            #expect(try await next.standing() == .init(attempt: 2, standing: .alive, worker: "w2"))
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aHeartbeatFreesTheLeaseForTheNextAttempt() async throws {
        try await withCoordinator { coordinator, _ in
            let zombie = Claim(coordinator: coordinator)
            #expect(try await zombie.claim() == .claimed)
            try await coordinator.mirror([(zombie.task, 2)])
            #expect(try await zombie.heartbeat() == .lost)
            #expect(try await zombie.standing() == .init(attempt: 2, standing: .dispatched, worker: nil))
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aHeartbeatPutsBackWhatTheServerForgot() async throws {
        try await withCoordinator { coordinator, redis in
            let claim = Claim(coordinator: coordinator)
            #expect(try await claim.claim() == .claimed)
            try await forget(coordinator, redis)
            #expect(try await claim.standing()?.standing == .unknown)
            #expect(try await claim.heartbeat(["n": 1]) == .ok)
            #expect(try await claim.standing() == .init(attempt: 1, standing: .alive, worker: "w1"))
            guard case .held = try await claim.by("w2", token: "i2.t2").claim() else {
                Issue.record("the lease that was put back does not hold")
                return
            }
            #expect(try await coordinator.release(worker: "w1", keepingInstance: nil) == ["r1/a"])
        }
    }

    /// The message was sent again before the holder's heartbeat: the holder is still the first.
    @Test(.timeLimit(.minutes(4)))
    func aHeartbeatComesBeforeTheClaimOfAMessageThatWasSentAgain() async throws {
        try await withCoordinator { coordinator, redis in
            let claim = Claim(coordinator: coordinator)
            #expect(try await claim.claim() == .claimed)
            try await forget(coordinator, redis)
            try await coordinator.mirror([(claim.task, 1)])
            #expect(try await claim.heartbeat() == .ok)
            guard case .held = try await claim.by("w2", token: "i2.t2").claim() else {
                Issue.record("the holder lost its lease")
                return
            }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aClaimThatCameFirstAfterALossOfMemoryWins() async throws {
        try await withCoordinator { coordinator, redis in
            let first = Claim(coordinator: coordinator)
            #expect(try await first.claim() == .claimed)
            try await forget(coordinator, redis)
            let second = first.by("w2", token: "i2.t2")
            #expect(try await second.claim() == .claimed)
            #expect(try await first.heartbeat() == .lost)
            // The first finishes all the same: then the second need not go on.
            try await first.finish()
            #expect(try await second.heartbeat() == .lost)
            #expect(try await second.standing()?.standing == .done)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func manyMirrorsAndStandingsAtOnceKeepTheirOrder() async throws {
        try await withCoordinator { coordinator, _ in
            let tasks = (0..<1_000).map { TaskID(run: RunID("r\($0)"), stage: "s") }
            try await coordinator.mirror(tasks.enumerated().map { ($0.element, $0.offset + 1) })
            #expect(try await coordinator.standings(of: tasks).map(\.attempt) == Array(1...1_000))
            #expect(try await coordinator.standings(of: []).isEmpty)
            try await coordinator.mirror([])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func namesWithOddCharactersAreKeysLikeOthers() async throws {
        try await withCoordinator { coordinator, _ in
            var claim = Claim(coordinator: coordinator)
            claim.task = TaskID(run: RunID("r ü\n{x}"), stage: "a b")
            claim.worker = "w 1/ä"
            let outcome = try await claim.claim()
            #expect(outcome == .claimed)
            #expect(try await claim.heartbeat(["text": "ü\0\n😀"]) == .ok)
            #expect(try await coordinator.progress(of: [claim.task]) == [claim.task: ["text": "ü\0\n😀"]])
            #expect(try await coordinator.release(worker: "w 1/ä", keepingInstance: nil) == [claim.task.description])
        }
    }
}
