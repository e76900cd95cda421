import Coordination
import RedisClient
import Testing

/// What gateways and model servers tell each other.
@Suite struct ServingTests {
    private static func report(_ requests: Int, _ tokens: Int, inFlight: Int = 0, minute: Int = 100)
        -> Coordinator.LimitReport
    {
        Coordinator.LimitReport(
            key: 7, minute: minute, requests: requests, tokens: tokens, earlierRequests: 0, earlierTokens: 0,
            inFlight: inFlight)
    }

    @Test(.timeLimit(.minutes(4)))
    func gatewaysSeeEachOthersShare() async throws {
        try await withCoordinator { coordinator, _ in
            func share(_ gateway: String, _ report: Coordinator.LimitReport, now: Int = 1_000_000) async throws
                -> Coordinator.LimitSums?
            {
                try await coordinator.shareLimits([report], gateway: gateway, now: now, timeout: .seconds(2)).first
            }
            #expect(try await share("a", Self.report(3, 300, inFlight: 2))?.requests == 3)
            let sums = try #require(try await share("b", Self.report(1, 50, inFlight: 5)))
            #expect(sums.requests == 4 && sums.tokens == 350 && sums.inFlight == 7 && sums.earlierRequests == 0)
            // What was reserved and not used comes back.
            #expect(try await share("a", Self.report(0, -200, inFlight: 1))?.tokens == 150)
            // A minute later it is the minute before; and who says nothing for long runs nothing.
            let later = try #require(try await share("b", Self.report(0, 0, inFlight: 5, minute: 101), now: 1_010_000))
            #expect(later.requests == 0 && later.earlierRequests == 4 && later.earlierTokens == 150)
            #expect(later.inFlight == 5)
            #expect(try await coordinator.shareLimits([], gateway: "a", now: 0, timeout: .seconds(1)).isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func gatewaysSeeForWhomTheOthersWork() async throws {
        try await withCoordinator { coordinator, _ in
            func share(
                _ gateway: String, _ servers: [String], validity: Duration = .seconds(30)
            ) async throws -> Set<String> {
                try await coordinator.shareBusy(
                    servers, gateway: gateway, validity: validity, timeout: .seconds(2))
            }
            #expect(try await share("a", ["10.0.0.1:1", "[::1]:2"]).isEmpty)
            #expect(try await share("b", ["10.0.0.1:1"]) == ["10.0.0.1:1", "[::1]:2"])
            #expect(try await share("a", []) == ["10.0.0.1:1"])
            // What was noted long ago is forgotten.
            while try await !share("c", [], validity: .milliseconds(1)).isEmpty {}
            #expect(try await share("c", []).isEmpty)
        }
    }

    private static func replica(_ id: String, state: ReplicaRecord.State = .ready) -> ReplicaRecord {
        ReplicaRecord(
            id: id, model: "m", version: "7", aliases: ["champion"], host: "10.0.0.1", port: 8_000, servedName: "m:7",
            maximumInFlight: 64, state: state, since: 5)
    }

    @Test(.timeLimit(.minutes(4)))
    func replicasAreToldAndForgotten() async throws {
        try await withCoordinator { coordinator, redis in
            var changes = coordinator.replicaChanges().makeAsyncIterator()
            // Subscribed.
            _ = try await changes.next()
            try await coordinator.announce(Self.replica("a"))
            try await coordinator.announce(Self.replica("b"))
            #expect(Set(try await coordinator.replicas()) == [Self.replica("a"), Self.replica("b")])
            _ = try await changes.next()
            _ = try await changes.next()
            // A sign of life that says nothing new is no change; that it drains is one.
            try await coordinator.announce(Self.replica("a"))
            try await coordinator.announce(Self.replica("a", state: .draining))
            _ = try await changes.next()
            #expect(try await coordinator.replicas().first { $0.id == "a" }?.state == .draining)
            // As after its lifetime.
            let keys =
                try await redis.send(["KEYS", .string(coordinator.keyPattern)]).array?.compactMap(\.string) ?? []
            let key = try #require(keys.first { $0.hasSuffix("replica:a") })
            #expect((try await redis.send(["PTTL", .string(key)]).int ?? 0) > 5_000)
            _ = try await redis.send(["DEL", .string(key)])
            #expect(try await coordinator.replicas().map(\.id) == ["b"])
            #expect(
                try await redis.send(["SCARD", .string(try #require(keys.first { $0.hasSuffix(":replicas") }))]).int
                    == 1)
        }
    }
}
