import Ledger
import Pipeline
import PostgresClient
import Testing

/// Keys, what they used, and rollouts.
@Suite struct ServingTests {
    private static func digest(_ seed: UInt8) -> [UInt8] { [UInt8](repeating: seed, count: 32) }

    @Test(.timeLimit(.minutes(4)))
    func aKeyComesBackAsItWasMade() async throws {
        try await withLedger { ledger, _ in
            var limits = APIKey.Limits()
            limits.models = ["security-qa", "a \"b\""]
            limits.requestsPerMinute = 60
            limits.tokensPerMinute = 5_000
            limits.concurrent = 3
            limits.monthlyBudget = 2_500_000
            limits.priority = 2
            limits.onFailure = .closed
            limits.expires = Timestamp(microseconds: 1_900_000_000_000_000)
            let id = try await ledger.createKey(
                name: "alice", team: "research", digest: Self.digest(1), limits: limits, actor: "ada")
            _ = try await ledger.createKey(
                name: "bob", team: "default", digest: Self.digest(2), limits: APIKey.Limits(), actor: "ada")
            let keys = try await ledger.keys()
            #expect(keys.map(\.name) == ["alice", "bob"])
            #expect(keys[0].id == id && keys[0].limits == limits && keys[0].digest == Self.digest(1))
            #expect(keys[1].limits == APIKey.Limits() && keys[0].monthlySpent == 0)
            limits.tokensPerMinute = nil
            try await ledger.updateKey(name: "alice", team: "sales", limits: limits, actor: "ada")
            #expect(try await ledger.keys()[0].limits == limits)
            try await ledger.revokeKey(name: "alice", actor: "ada")
            #expect(try await ledger.keys().map(\.name) == ["bob"])
            #expect(try await ledger.keys(withRevoked: true).first { $0.id == id }?.revoked != nil)
            // The name is free again, the number is not.
            let next = try await ledger.createKey(
                name: "alice", team: "t", digest: Self.digest(3), limits: APIKey.Limits(), actor: "ada")
            #expect(next != id)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func whatCannotBeIsRefused() async throws {
        try await withLedger { ledger, _ in
            _ = try await ledger.createKey(
                name: "a", team: "t", digest: Self.digest(1), limits: APIKey.Limits(), actor: "x")
            let twice = await #expect(throws: LedgerError.self) {
                _ = try await ledger.createKey(
                    name: "a", team: "t", digest: Self.digest(2), limits: APIKey.Limits(), actor: "x")
            }
            #expect(twice?.code == .refused)
            for work in [
                { try await ledger.revokeKey(name: "b", actor: "x") },
                { try await ledger.updateKey(name: "b", team: "t", limits: APIKey.Limits(), actor: "x") },
            ] as [@Sendable () async throws -> Void] {
                let missing = await #expect(throws: LedgerError.self) { try await work() }
                #expect(missing?.code == .notFound)
            }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func changesOfKeysAreTold() async throws {
        try await withLedger { ledger, _ in
            var changes = ledger.keyChanges().makeAsyncIterator()
            #expect(try await changes.next() == .listening)
            _ = try await ledger.createKey(
                name: "a", team: "t", digest: Self.digest(1), limits: APIKey.Limits(), actor: "x")
            guard case .message(let message)? = try await changes.next() else {
                Issue.record("no message")
                return
            }
            #expect(message.channel == Ledger.keysChannel)
        }
    }

    private static func line(_ key: Int, hour: Int, version: String = "1", cost: Int64 = 10) -> UsageLine {
        var sum = UsageLine.Sum()
        sum.requests = 2
        sum.failed = 1
        sum.promptTokens = 30
        sum.cachedTokens = 5
        sum.completionTokens = 7
        sum.cost = cost
        return UsageLine(group: UsageLine.Group(hour: hour, key: key, model: "m", version: version), sum: sum)
    }

    @Test(.timeLimit(.minutes(4)))
    func aBatchIsAddedOnceHoweverOftenItComes() async throws {
        try await withLedger { ledger, _ in
            let key = try await ledger.createKey(
                name: "a", team: "t", digest: Self.digest(1), limits: APIKey.Limits(), actor: "x")
            let hour = Int(Timestamp.now.seconds) / 3_600
            for _ in 0..<3 {
                _ = try await ledger.addUsage(
                    [Self.line(key, hour: hour), Self.line(0, hour: hour)], journal: "j", batch: 1)
            }
            #expect(try await ledger.addUsage([Self.line(key, hour: hour)], journal: "j", batch: 2))
            #expect(try await ledger.addUsage([Self.line(key, hour: hour, version: "2")], journal: "k", batch: 1))
            #expect(try await !ledger.addUsage([Self.line(key, hour: hour)], journal: "j", batch: 1))
            let start = Timestamp(microseconds: Int64(hour) * 3_600_000_000)
            let report = try await ledger.usage(from: start, to: start.advanced(by: .seconds(3_600)))
            #expect(report.count == 3)
            let own = try #require(report.first { $0.key == key && $0.version == "1" })
            #expect(own.name == "a" && own.team == "t" && own.sum.requests == 4 && own.sum.cost == 20)
            #expect(own.sum.promptTokens == 60 && own.sum.cachedTokens == 10 && own.sum.completionTokens == 14)
            #expect(report.first { $0.key == 0 }?.sum.requests == 2)
            #expect(try await ledger.keys().first?.monthlySpent == 30)
            #expect(
                try await ledger.usage(
                    from: start.advanced(by: .seconds(3_600)), to: .now.advanced(by: .seconds(9_999))
                ).isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func manyGatewaysAddAtOnce() async throws {
        try await withLedger { ledger, _ in
            let hour = Int(Timestamp.now.seconds) / 3_600
            try await withThrowingTaskGroup(of: Void.self) { group in
                for journal in 0..<6 {
                    group.addTask {
                        for batch in 1...10 {
                            _ = try await ledger.addUsage(
                                (0..<5).map { Self.line($0, hour: hour) }, journal: "j\(journal)", batch: Int64(batch))
                        }
                    }
                }
                try await group.waitForAll()
            }
            let report = try await ledger.usage(
                from: Timestamp(microseconds: Int64(hour) * 3_600_000_000), to: .now.advanced(by: .seconds(3_600)))
            #expect(report.count == 5 && report.allSatisfy { $0.sum.requests == 120 })
        }
    }

    private static func start(_ ledger: Ledger, _ id: String, model: String = "m") async throws {
        var policy = RolloutPolicy()
        policy.steps = [0.1, 1]
        policy.margins.errors = 0.07
        try await ledger.startRollout(
            id: id, model: model, candidate: "2", baseline: "1", policy: policy, actor: "x")
    }

    @Test(.timeLimit(.minutes(4)))
    func aModelHasOneRolloutAtATime() async throws {
        try await withLedger { ledger, _ in
            try await Self.start(ledger, "a")
            try await Self.start(ledger, "other", model: "n")
            let second = await #expect(throws: LedgerError.self) { try await Self.start(ledger, "b") }
            #expect(second?.code == .refused)
            let same = await #expect(throws: LedgerError.self) {
                try await ledger.startRollout(
                    id: "c", model: "k", candidate: "1", baseline: "1", policy: RolloutPolicy(), actor: "x")
            }
            #expect(same?.code == .refused)
            let rollout = try #require(try await ledger.rolloutsAlive().first { $0.id == "a" })
            #expect(rollout.policy.steps == [0.1, 1] && rollout.policy.margins.errors == 0.07)
            #expect(rollout.state == .running && rollout.step == 0 && rollout.share == 0.1)
            // Whoever comes too late finds it changed, and changes nothing.
            try await ledger.changeRollout("a", actor: "x") { _ in
                RolloutChange(effect: .step(1), verdict: "pass", action: "advance", summary: "s", evidence: ["n": 1])
            }
            let late = try await ledger.changeRollout("a", actor: "x") { current in
                current.step == 0
                    ? RolloutChange(effect: .state(.rolledBack), verdict: "fail", action: "roll_back", summary: "s")
                    : nil
            }
            #expect(late == nil)
            try await ledger.changeRollout("a", actor: "x") { _ in
                RolloutChange(effect: .state(.promoted), verdict: "pass", action: "promote", summary: "done")
            }
            #expect(try await ledger.rolloutsAlive().map(\.id) == ["other"])
            let ended = try #require(try await ledger.rollouts(model: "m", limit: 5).first)
            #expect(ended.state == .promoted && ended.reason == "done" && ended.finishedAt != nil && ended.share == 0)
            let verdicts = try await ledger.rolloutVerdicts("a")
            #expect(verdicts.map(\.action) == ["advance", "promote"] && verdicts.map(\.step) == [0, 1])
            #expect(verdicts[0].evidence == ["n": 1])
            try await Self.start(ledger, "b")
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func whatGatewaysSawIsAddedUp() async throws {
        try await withLedger { ledger, _ in
            try await Self.start(ledger, "a")
            var sums = RolloutSums()
            sums.requests = 3
            sums.errors = 1
            sums.truncated = 2
            for value in [0.5, 0.25] { sums.firstToken.add(value) }
            sums.length.add(40)
            let cell = RolloutCell(rollout: "a", step: 0, isCandidate: true, stratum: 1)
            let other = RolloutCell(rollout: "a", step: 0, isCandidate: false, stratum: 1)
            let gone = RolloutCell(rollout: "never", step: 0, isCandidate: false, stratum: 1)
            try await ledger.addRolloutSums([cell: sums, other: sums, gone: sums])
            try await ledger.addRolloutSums([cell: sums])
            let found = try await ledger.rolloutSums("a")
            #expect(found[other] == sums && found.count == 2)
            #expect(
                found[cell]?.requests == 6 && found[cell]?.firstToken.count == 4 && found[cell]?.firstToken.sum == 1.5)
        }
    }
}
