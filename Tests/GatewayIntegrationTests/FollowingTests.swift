import Coordination
import Ledger
import LocalStack
import Pipeline
import TestPeers
import Testing

@testable import Gateway

/// Gateways with the real ledger and the real Redis: there, away, and back.
@Suite(.serialized, .timeLimit(.minutes(6))) struct FollowingTests {
    @Test func keysAreInForceAtOnceAndUseIsInTheLedgerSoon() async throws {
        try await Bench.with { bench in
            try await ScriptedUpstream.with(modelServer) { upstream in
                try await bench.gateway(port: upstream.port) { gateway in
                    try await bench.makeKey("alice") { $0.monthlyBudget = 1_000_000 }
                    try await eventually { try await gateway.ask("alice").status == 200 }
                    for _ in 0..<9 { #expect(try await gateway.ask("alice").status == 200) }
                    try await eventually { try await bench.used().requests == 10 }
                    let used = try await bench.used()
                    #expect(used.promptTokens == 30 && used.completionTokens == 20 && used.partial == 0)
                    // 3 tokens at 1 and 2 at 10.
                    #expect(used.cost == 230)
                    #expect(try await bench.ledger.keys().first?.monthlySpent == 230)
                    var limits = APIKey.Limits()
                    limits.monthlyBudget = 240
                    try await bench.ledger.updateKey(name: "alice", team: "t", limits: limits, actor: "test")
                    try await eventually { try await gateway.ask("alice").status == 429 }
                    #expect(try await gateway.ask("alice").body.contains("monthly_budget"))
                    try await bench.ledger.revokeKey(name: "alice", actor: "test")
                    try await eventually { try await gateway.ask("alice").status == 401 }
                }
            }
        }
    }

    /// The ledger goes and comes back: requests go on with the keys that are known, and nothing that was used is lost.
    @Test func withoutTheLedgerServingGoesOnAndUseIsKept() async throws {
        try await Bench.with { bench in
            try await ScriptedUpstream.with(modelServer) { upstream in
                try await bench.gateway(port: upstream.port) { gateway in
                    try await bench.makeKey("alice")
                    try await eventually { try await gateway.ask("alice").status == 200 }
                    try await bench.stack.stop([.postgres])
                    for _ in 0..<50 { #expect(try await gateway.ask("alice").status == 200) }
                    try await bench.stack.start([.postgres])
                    try await eventually { (try? await bench.used().requests) == 51 }
                    // Keys that are made now are known as well: it listens again.
                    try await bench.makeKey("bob")
                    try await eventually { try await gateway.ask("bob").status == 200 }
                }
            }
        }
    }

    /// A gateway that is gone without a word: the next one with its folder brings what it used to the ledger.
    @Test func whatAGatewayLeftBehindIsBroughtToTheLedger() async throws {
        try await Bench.with { bench in
            do {
                let journal = try UsageJournal.make(in: bench.folder, prices: Bench.prices)
                journal.begin(key: 0, model: "m", version: "1", prompt: 5, second: 0)?
                    .finish(status: 200, use: TokenUse(prompt: 5, completion: 1), cost: 15, isPartial: false)
                let stream = journal.begin(key: 0, model: "m", version: "1", prompt: 7, second: 0)
                stream?.progress(completion: 3)
            }
            try await bench.gateway(port: nil) { _ in
                try await eventually { try await bench.used().requests == 2 }
                let used = try await bench.used()
                #expect(used.partial == 1 && used.completionTokens == 4 && used.cost == 15 + 37)
            }
        }
    }

    @Test func withoutRedisAKeysOwnSettingDecides() async throws {
        try await Bench.with { bench in
            try await ScriptedUpstream.with(modelServer) { upstream in
                try await bench.gateway(port: nil) { gateway in
                    try await bench.makeKey("open")
                    try await bench.makeKey("closed") { $0.onFailure = .closed }
                    // A model server that registered itself.
                    try await bench.coordinator.announce(
                        ReplicaRecord(
                            id: "r", model: "m", version: "4", aliases: ["champion"], host: "127.0.0.1",
                            port: upstream.port, servedName: "m", maximumInFlight: 4, state: .ready, since: 1))
                    try await eventually { try await gateway.ask("closed").status == 200 }
                    try await bench.stack.stop([.redis])
                    try await eventually { try await gateway.ask("closed").body.contains("limits_unavailable") }
                    #expect(try await gateway.ask("open").status == 200)
                    // It comes back, and may have forgotten everything: who served goes on serving.
                    try await bench.stack.start([.redis])
                    try await eventually { try await gateway.ask("closed").status == 200 }
                    #expect(try await gateway.ask("open").status == 200)
                }
            }
        }
    }

    @Test func gatewaysShareALimit() async throws {
        try await Bench.with { bench in
            try await ScriptedUpstream.with(modelServer) { upstream in
                try await bench.gateway("one", port: upstream.port) { one in
                    try await bench.gateway("two", port: upstream.port) { two in
                        try await bench.makeKey("alice") { $0.requestsPerMinute = 20 }
                        try await bench.makeKey("probe")
                        for gateway in [one, two] {
                            try await eventually { try await gateway.ask("probe").status == 200 }
                            try await eventually { gateway.core.keys.isShared }
                        }
                        try await waitForRoomInTheMinute()
                        for _ in 0..<20 { #expect(try await one.ask("alice").status == 200) }
                        // Within an interval the other one knows.
                        try await eventually { try await two.ask("alice").status == 429 }
                        #expect(try await one.ask("alice").status == 429)
                    }
                }
            }
        }
    }

    @Test func aModelServerThatDrainsGetsNothingMore() async throws {
        try await Bench.with { bench in
            try await ScriptedUpstream.with(modelServer) { upstream in
                func record(_ id: String, _ version: String, _ state: ReplicaRecord.State) -> ReplicaRecord {
                    ReplicaRecord(
                        id: id, model: "m", version: version, aliases: ["champion"], host: "127.0.0.1",
                        port: upstream.port, servedName: "m", maximumInFlight: 4, state: state,
                        since: Int64(version) ?? 0)
                }
                try await bench.gateway(port: nil) { gateway in
                    try await bench.makeKey("alice")
                    try await bench.coordinator.announce(record("a", "1", .ready))
                    try await eventually { gateway.core.resolve("m", stickiness: 0)?.deployment.version == "1" }
                    try await bench.coordinator.announce(record("b", "2", .ready))
                    try await eventually { gateway.core.resolve("m", stickiness: 0)?.deployment.version == "2" }
                    try await bench.coordinator.announce(record("a", "1", .draining))
                    try await eventually { !gateway.core.modelNames.contains("m:1") }
                    try await eventually { try await gateway.ask("alice").status == 200 }
                    // The last one is started again: the model is there, and nobody who answers for it.
                    try await bench.coordinator.announce(record("b", "2", .draining))
                    try await eventually { try await gateway.ask("alice").status == 503 }
                    let (status, body) = try await gateway.ask("alice")
                    #expect(status == 503 && body.contains("no_replica") && body.contains("m:2"), "\(body)")
                    try await bench.coordinator.announce(record("c", "2", .ready))
                    try await eventually { try await gateway.ask("alice").status == 200 }
                }
            }
        }
    }

    /// Begins a rollout of version 2 after version 1, with one model server of the new one.
    private static func tryVersion2(_ bench: Bench, _ policy: RolloutPolicy, port: Int) async throws {
        try await bench.ledger.startRollout(
            id: "r", model: "m", candidate: "2", baseline: "1", policy: policy, actor: "test")
        try await bench.coordinator.announce(
            ReplicaRecord(
                id: "new", model: "m", version: "2", aliases: ["challenger"], host: "127.0.0.1", port: port,
                servedName: "m", maximumInFlight: 8, state: .ready, since: 0))
    }

    /// In its first step a version may answer copies only: nobody gets its answers, nobody pays, and the judge sees them.
    @Test func copiesAreAnsweredForNobody() async throws {
        let copies = Progress()
        let candidate: @Sendable (WirePeer) async throws -> Void = { peer in
            while true {
                let (head, body) = try await peer.readRequest()
                guard head.hasPrefix("POST") else {
                    try await peer.answer("{}")
                    continue
                }
                #expect(body.contains(#""content":"hi""#) && !head.lowercased().contains("alice"))
                copies.add()
                try await peer.answer(
                    #"{"choices":[{"message":{"content":"new"}}],"usage":{"prompt_tokens":3,"completion_tokens":7}}"#)
            }
        }
        try await Bench.with { bench in
            try await ScriptedUpstream.with(modelServer) { old in
                try await ScriptedUpstream.with(candidate) { new in
                    try await bench.makeKey("alice")
                    var policy = RolloutPolicy()
                    policy.steps = [0.5, 1]
                    policy.mirror = 1
                    try await Self.tryVersion2(bench, policy, port: new.port)
                    try await bench.gateway(port: old.port) { gateway in
                        try await eventually { gateway.core.resolveMirror("m") != nil }
                        try await eventually { try await gateway.ask("alice").status == 200 }
                        for _ in 0..<5 { #expect(try await gateway.ask("alice").body.contains("Hello")) }
                        try await eventually { copies.count >= 5 }
                        func sums(_ isCandidate: Bool) async throws -> RolloutSums {
                            try await bench.ledger.rolloutSums("r").filter { $0.key.isCandidate == isCandidate }
                                .reduce(into: RolloutSums()) { $0 += $1.value }
                        }
                        try await eventually { try await sums(true).requests >= 5 }
                        #expect(try await sums(true).length.mean == 7)
                        #expect(try await sums(false).length.mean == 2)
                        // The key pays for what it got.
                        try await eventually { try await bench.used().requests >= 10 }
                        let usage = try await bench.ledger.usage(
                            from: Timestamp(microseconds: 0), to: .now.advanced(by: .seconds(7_200)))
                        #expect(usage.allSatisfy { ($0.version == "2") == ($0.key == 0) })
                    }
                }
            }
        }
    }

    /// The alias went to a third version while two were compared: it answers, also where the old one has gone.
    @Test func aRolloutWhoseBaselineHasGoneIsInNobodysWay() async throws {
        try await Bench.with { bench in
            try await ScriptedUpstream.with(modelServer) { upstream in
                try await bench.makeKey("alice")
                var policy = RolloutPolicy()
                policy.steps = [0.01, 1]
                try await bench.ledger.startRollout(
                    id: "r", model: "m", candidate: "2", baseline: "1", policy: policy, actor: "test")
                func record(_ id: String, _ aliases: [String], _ state: ReplicaRecord.State = .ready) -> ReplicaRecord {
                    ReplicaRecord(
                        id: id, model: "m", version: id, aliases: aliases, host: "127.0.0.1", port: upstream.port,
                        servedName: "m", maximumInFlight: 8, state: state, since: 0)
                }
                try await bench.gateway(port: nil) { gateway in
                    // It has seen the one on trial only, and that one is not the model's answer.
                    try await bench.coordinator.announce(record("2", ["challenger"]))
                    try await eventually { gateway.core.modelNames.contains("m:2") }
                    try await eventually { try await gateway.ask("alice").status == 503 }
                    try await bench.coordinator.announce(record("1", ["champion"]))
                    try await eventually { try await gateway.ask("alice").status == 200 }
                    try await bench.coordinator.announce(record("3", ["champion"]))
                    try await bench.coordinator.announce(record("1", [], .draining))
                    try await eventually { !gateway.core.modelNames.contains("m:1") }
                    for stickiness in 0..<200 {
                        let version = gateway.core.resolve("m", stickiness: UInt64(stickiness))?.deployment.version
                        #expect(version == "3")
                    }
                    #expect(try await gateway.ask("alice").status == 200)
                }
            }
        }
    }

    /// A version that takes no chat is found out, and no client is the worse for it; what both refuse is the client's doing.
    @Test func whatTheNewVersionRefusesTheOldOneAnswers() async throws {
        let strict: @Sendable (WirePeer) async throws -> Void = { peer in
            while true {
                let (head, body) = try await peer.readRequest()
                guard head.hasPrefix("POST") else {
                    try await peer.answer("{}")
                    continue
                }
                if body.contains("temperature") {
                    try await peer.answer(TestAnswers.refusal("too hot"), status: "400 Bad Request")
                } else {
                    try await peer.answer(TestAnswers.hello)
                }
            }
        }
        try await Bench.with { bench in
            try await ScriptedUpstream.with(strict) { old in
                let refused = Progress()
                try await ScriptedUpstream.with { peer in
                    while true {
                        let (head, _) = try await peer.readRequest()
                        guard head.hasPrefix("POST") else {
                            try await peer.answer("{}")
                            continue
                        }
                        refused.add()
                        try await peer.answer(TestAnswers.refusal("no chat template"), status: "400 Bad Request")
                    }
                } _: { new in
                    try await bench.makeKey("alice")
                    var policy = RolloutPolicy()
                    policy.steps = [0.999, 1]
                    try await Self.tryVersion2(bench, policy, port: new.port)
                    try await bench.gateway(port: old.port) { gateway in
                        try await eventually { try await gateway.ask("alice").status == 200 && refused.count > 0 }
                        // By itself, and as a call that equal requests share.
                        for options in [#","temperature":0.5"#, #","temperature":0"#] {
                            let body = #"{"model":"m","messages":[{"role":"user","content":"hi"}]\#(options)}"#
                            let (status, answer) = try await gateway.ask("alice", body)
                            #expect(status == 400 && answer.contains("too hot"), "\(answer)")
                        }
                        for _ in 0..<10 { #expect(try await gateway.ask("alice").status == 200) }
                        try await eventually {
                            gateway.core.rollouts.choose(model: "m", stickiness: 1)?.arm.isCandidate == false
                        }
                        let sums = { try await bench.ledger.rolloutSums("r").first { $0.key.isCandidate }?.value }
                        try await eventually { try await (sums()?.errors ?? 0) >= Guardrail.errorLimit }
                        let known = try #require(try await sums())
                        #expect(known.errors == known.requests && known.errors <= refused.count - 2)
                    }
                }
            }
        }
    }

    private enum TestAnswers {
        static let hello =
            #"{"id":"1","choices":[{"message":{"content":"Hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#

        static func refusal(_ reason: String) -> String { #"{"error":{"message":"\#(reason)"}}"# }
    }

    /// Behind a name there may be several servers; each of its addresses is one.
    @Test func aNamesAddressesAreReplicas() async throws {
        try await Bench.with { bench in
            try await ScriptedUpstream.with(modelServer) { upstream in
                try await bench.makeKey("alice")
                var replica = ReplicaConfiguration(
                    model: "m", version: "1", aliases: ["champion"], host: "localhost", port: upstream.port,
                    servedName: "m")
                replica.isName = true
                try await bench.gateway(fixed: [replica]) { gateway in
                    try await eventually { try await gateway.ask("alice").status == 200 }
                    let addresses = Set(gateway.core.replicas.map(\.configuration.host))
                    #expect(addresses.contains("127.0.0.1") && addresses.isSubset(of: ["127.0.0.1", "::1"]))
                }
            }
        }
        #expect(try NameResolver.lookUp("127.0.0.1") == ["127.0.0.1"])
        #expect(throws: NameResolver.Unresolved.self) { try NameResolver.lookUp("no-such-name.invalid") }
    }
}
