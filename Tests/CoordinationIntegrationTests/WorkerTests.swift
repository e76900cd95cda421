import Coordination
import LocalStack
import Pipeline
import RedisClient
import TestServers
import Testing

/// The registry, takeovers, pools, logs, and what is told to those who watch.
@Suite struct WorkerTests {
    private func record(_ id: String, pool: String = "p", state: String = "ready") -> Coordinator.WorkerRecord {
        Coordinator.WorkerRecord(
            id: id, pool: pool, host: "h", processID: 42, slots: 4, busy: 2, state: state,
            startedAt: Timestamp(microseconds: 1_700_000_000_000_001), tasks: ["r1/a", "r2/b"])
    }

    @Test(.timeLimit(.minutes(4)))
    func theRegistryShowsWhoGaveASignOfLife() async throws {
        try await withCoordinator { coordinator, _ in
            #expect(try await coordinator.workers().isEmpty)
            // The short life first: its registration forgets whoever was silent for ten times as long.
            try await coordinator.register(record("v", pool: "a"), now: .now, lifetime: .milliseconds(50))
            try await coordinator.register(record("w2"), now: .now, lifetime: .seconds(30))
            try await coordinator.register(record("w1"), now: .now, lifetime: .seconds(30))
            #expect(try await coordinator.workers().contains(record("w1")))
            try await eventually { try await coordinator.workers().map(\.id) == ["w1", "w2"] }
            try await coordinator.register(record("w1", state: "draining"), now: .now, lifetime: .seconds(30))
            #expect(try await coordinator.workers().first?.state == "draining")
            try await coordinator.unregister(worker: "w1")
            #expect(try await coordinator.workers() == [record("w2")])
        }
    }

    /// The index of workers that are long gone does not grow for ever.
    @Test(.timeLimit(.minutes(4)))
    func theIndexForgetsTheDead() async throws {
        try await withCoordinator { coordinator, redis in
            let past = Timestamp.now.advanced(by: .seconds(-3_600))
            try await coordinator.register(record("old"), now: past, lifetime: .seconds(1))
            try await coordinator.register(record("new"), now: .now, lifetime: .seconds(1))
            let keys =
                try await redis.send(["KEYS", .string(coordinator.keyPattern)]).array?.compactMap(\.string) ?? []
            let index = try #require(keys.first { $0.hasSuffix(":workers") })
            #expect(try await redis.send(["ZCARD", .string(index)]).int == 1)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aTakeoverDropsWhatTheFormerProcessHeldAndWakesTheReconciler() async throws {
        try await withCoordinator { coordinator, _ in
            let wakes = coordinator.wakeUps()
            let old = Claim(coordinator: coordinator)
            #expect(try await old.claim() == .claimed)
            var own = old.by("w1", token: "i2.t1")
            own.task.stage = "b"
            #expect(try await own.claim() == .claimed)
            var others = old.by("w2", token: "i9.t1")
            others.task.stage = "c"
            #expect(try await others.claim() == .claimed)

            var iterator = wakes.makeAsyncIterator()
            let first = try await iterator.next()
            #expect(first == .subscribed)
            #expect(try await coordinator.release(worker: "w1", keepingInstance: "i2") == ["r1/a"])
            #expect(try await old.standing()?.standing == .abandoned)
            #expect(try await own.standing()?.standing == .alive)
            #expect(try await others.standing()?.standing == .alive)
            #expect(try await coordinator.release(worker: "w1", keepingInstance: "i2").isEmpty)
            #expect(try await iterator.next()?.text == "released")
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func whatIsFinishedOrTakenByOthersIsNotReleased() async throws {
        try await withCoordinator { coordinator, _ in
            let claim = Claim(coordinator: coordinator)
            #expect(try await claim.claim() == .claimed)
            try await claim.finish()
            var moved = claim
            moved.task.stage = "b"
            #expect(try await moved.claim() == .claimed)
            #expect(try await moved.by("w2", token: "i2.t", attempt: 2).claim() == .claimed)
            #expect(try await coordinator.release(worker: "w1", keepingInstance: nil).isEmpty)
            #expect(try await moved.standing() == .init(attempt: 2, standing: .alive, worker: "w2"))
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func poolSizesAreKeptAndTold() async throws {
        try await withCoordinator { coordinator, _ in
            let changes = coordinator.poolChanges()
            async let told: Bool = {
                for try await change in changes where try await coordinator.desiredPools()["train"] == 2 {
                    _ = change
                    return true
                }
                return false
            }()
            try await coordinator.setDesired(pool: "train", workers: 1)
            try await coordinator.setDesired(pool: "train", workers: 2)
            try await coordinator.setDesired(pool: "ingest", workers: 0)
            #expect(try await coordinator.desiredPools() == ["train": 2, "ingest": 0])
            #expect(try await told)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func theLiveLogIsReadFromACursor() async throws {
        try await withCoordinator { coordinator, _ in
            let task = TaskID(run: RunID("r"), stage: "a")
            try await coordinator.appendLog(task, attempt: 1, lines: ["one", "zwei ü", ""])
            try await coordinator.appendLog(task, attempt: 1, lines: [])
            try await coordinator.appendLog(task, attempt: 2, lines: ["other attempt"])
            let first = try await coordinator.readLog(task, attempt: 1, after: "0", limit: 2)
            #expect(first.lines == ["one", "zwei ü"])
            let second = try await coordinator.readLog(task, attempt: 1, after: first.cursor, limit: 10)
            #expect(second.lines == [""])
            let third = try await coordinator.readLog(task, attempt: 1, after: second.cursor, limit: 10)
            #expect(third.lines.isEmpty)
            #expect(third.cursor == second.cursor)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func theLiveLogIsBounded() async throws {
        try await withCoordinator { coordinator, _ in
            let task = TaskID(run: RunID("r"), stage: "a")
            for batch in 0..<5 {
                try await coordinator.appendLog(task, attempt: 1, lines: (0..<1_000).map { "\(batch * 1_000 + $0)" })
            }
            let read = try await coordinator.readLog(task, attempt: 1, after: "0", limit: 10_000)
            #expect(read.lines.last == "4999")
            // The server trims whole nodes of a hundred entries.
            #expect(read.lines.count <= 2_200)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func changesOfARunAreTold() async throws {
        try await withCoordinator { coordinator, _ in
            let run = RunID("r")
            let changes = coordinator.changes(of: run)
            async let told: Int = {
                var count = 0
                for try await message in changes {
                    if message.text == "changed" { count += 1 }
                    if count == 2 { break }
                }
                return count
            }()
            // Until the subscription stands, words go unheard.
            let speaker = Task {
                while !Task.isCancelled {
                    try await coordinator.announce([run, RunID("other")])
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            #expect(try await told == 2)
            speaker.cancel()
            try await coordinator.announce([RunID]())
            try await coordinator.ping()
        }
    }

    /// A real FLUSHALL and a restart, on a server of its own.
    @Test(.timeLimit(.minutes(4)))
    func aClaimOutlivesFlushAndRestart() async throws {
        let stack = try await TestServers.fresh(.redis)
        try await withCoordinator(at: try await stack.endpoints().redisURL) { coordinator, redis in
            let claim = Claim(coordinator: coordinator)
            #expect(try await claim.claim() == .claimed)
            _ = try await redis.send(["FLUSHALL"])
            _ = try await redis.send(["SCRIPT", "FLUSH"])
            #expect(try await claim.heartbeat() == .ok)
            #expect(try await claim.standing()?.standing == .alive)
        }
        try await stack.stop()
    }
}
