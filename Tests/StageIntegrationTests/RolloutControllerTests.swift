import Coordination
import Ledger
import Logging
import MLflowClient
import Pipeline
import RedisClient
import Rollouts
import StageSupport
import TestPeers
import TestServers
import Testing

/// The controller between the real ledger and the real registry.
@Suite struct RolloutControllerTests {
    private static func with(
        _ body: @Sendable (Workbench, Ledger, MLflowClient, RolloutController) async throws -> Void
    )
        async throws
    {
        try await Workbench.with { bench in
            let mlflow = try await bench.mlflow()
            _ = try await mlflow.getOrCreateRegisteredModel(named: bench.name)
            for number in 1...2 {
                _ = try await mlflow.createModelVersion(
                    name: bench.name, source: "s3://\(bench.bucket)/\(number)", runID: "", description: "", tags: [:])
            }
            try await mlflow.setAlias(name: bench.name, alias: "champion", version: "1")
            try await bench.withLedger { ledger in
                let controller = RolloutController(
                    ledger: ledger, mlflow: mlflow, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
                var policy = RolloutPolicy()
                policy.steps = [0.5, 1]
                policy.minimumSeconds = 0
                policy.minimumSamples = 50
                policy.margins.errors = 0.1
                policy.margins.empty = 0.1
                try await ledger.startRollout(
                    id: "r", model: bench.name, candidate: "2", baseline: "1", policy: policy, actor: "test")
                try await body(bench, ledger, mlflow, controller)
            }
        }
    }

    /// What a gateway saw of so many answers.
    private static func sums(_ count: Int, errors: Int = 0) -> RolloutSums {
        var sums = RolloutSums()
        sums.requests = count
        sums.errors = errors
        for index in 0..<count - errors {
            sums.firstToken.add(0.1 + Double(index % 10) / 100)
            sums.perToken.add(0.02 + Double(index % 10) / 1_000)
            sums.length.add(Double(30 + index % 10))
        }
        return sums
    }

    private static func rollout(_ ledger: Ledger) async throws -> Rollout? {
        try await ledger.rollouts(model: nil, limit: 1).first
    }

    @Test(.timeLimit(.minutes(4)))
    func aGoodVersionBecomesTheChampionStepByStep() async throws {
        try await Self.with { bench, ledger, mlflow, controller in
            func serve(step: Int, candidate: Int, baseline: Int) async throws {
                try await ledger.addRolloutSums([
                    RolloutCell(rollout: "r", step: step, isCandidate: true, stratum: 0): Self.sums(candidate),
                    RolloutCell(rollout: "r", step: step, isCandidate: false, stratum: 0): Self.sums(baseline),
                ])
            }
            func look() async throws {
                for rollout in try await ledger.rolloutsAlive() { try await controller.look(at: rollout) }
            }
            try await serve(step: 0, candidate: 40, baseline: 400)
            try await look()
            #expect(try await Self.rollout(ledger)?.step == 0)
            try await serve(step: 0, candidate: 360, baseline: 0)
            try await look()
            #expect(try await Self.rollout(ledger)?.step == 1)
            // A step has samples of its own.
            try await look()
            #expect(try await Self.rollout(ledger)?.state == .running)
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "champion")?.version == "1")
            try await serve(step: 1, candidate: 60, baseline: 2)
            try await look()
            #expect(try await Self.rollout(ledger)?.state == .promoted)
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "champion")?.version == "2")
            let verdicts = try await ledger.rolloutVerdicts("r")
            #expect(verdicts.map(\.action) == ["advance", "promote"])
            #expect(verdicts.allSatisfy { $0.evidence["findings"]?.arrayValue?.count == 6 })
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func anErringVersionIsRolledBackWithItsEvidence() async throws {
        try await Self.with { bench, ledger, mlflow, controller in
            try await ledger.addRolloutSums([
                RolloutCell(rollout: "r", step: 0, isCandidate: true, stratum: 0): Self.sums(40, errors: 30),
                RolloutCell(rollout: "r", step: 0, isCandidate: false, stratum: 0): Self.sums(40),
            ])
            // Two controllers at once: one of them does it.
            let alive = try await ledger.rolloutsAlive()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 { group.addTask { for rollout in alive { try await controller.look(at: rollout) } } }
                try await group.waitForAll()
            }
            let ended = try #require(try await Self.rollout(ledger))
            #expect(ended.state == .rolledBack && ended.reason?.hasPrefix("error_rate") == true)
            #expect(try await ledger.rolloutVerdicts("r").map(\.action) == ["roll_back"])
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "champion")?.version == "1")
        }
    }

    /// What a version was used for stands on it in the registry.
    @Test(.timeLimit(.minutes(4)))
    func totalsAreOnTheVersion() async throws {
        try await Self.with { bench, ledger, mlflow, _ in
            func line(_ version: String, hour: Int, requests: Int) -> UsageLine {
                var sum = UsageLine.Sum()
                sum.requests = requests
                sum.promptTokens = 10 * requests
                sum.completionTokens = requests
                sum.cost = Int64(500_000 * requests)
                return UsageLine(
                    group: UsageLine.Group(hour: hour, key: 1, model: bench.name, version: version), sum: sum)
            }
            try await ledger.addUsage(
                [line("1", hour: 1, requests: 2), line("1", hour: 2, requests: 3), line("9", hour: 1, requests: 1)],
                journal: "j", batch: 1)
            let totals = UsageTotals(
                ledger: ledger, mlflow: mlflow, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let written = try await totals.write(after: [:])
            let tags = try #require(try await mlflow.modelVersion(name: bench.name, version: "1")?.tags)
            #expect(tags["martlet.usage.requests"] == "5" && tags["martlet.usage.prompt_tokens"] == "50")
            #expect(tags["martlet.usage.completion_tokens"] == "5" && tags["martlet.usage.cost"] == "2.5")
            #expect(
                try await mlflow.modelVersion(name: bench.name, version: "2")?.tags["martlet.usage.requests"] == nil)
            try await ledger.addUsage([line("1", hour: 3, requests: 1)], journal: "j", batch: 2)
            _ = try await totals.write(after: written)
            let later = try await mlflow.modelVersion(name: bench.name, version: "1")
            #expect(later?.tags["martlet.usage.requests"] == "6")
        }
    }

    /// An engine that says how likely it finds a text, as vLLM does.
    private static func engine(_ likelihood: String) -> @Sendable (WirePeer) async throws -> Void {
        { peer in
            while true {
                let (head, body) = try await peer.readRequest()
                let request = try JSONValue(json: Array(body.utf8))
                if likelihood == "refused" {
                    try await peer.answer(#"{"error":{"message":"no chat template"}}"#, status: "400 Bad Request")
                    continue
                }
                if head.hasPrefix("POST /tokenize ") {
                    #expect(request["messages"]?.arrayValue?.count == 2)
                    try await peer.answer(#"{"count":2,"tokens":[1,2]}"#)
                    continue
                }
                #expect(request["continue_final_message"] == .bool(true))
                #expect(request["messages"]?.arrayValue?.last?["role"] == "assistant")
                // The question's tokens do not count, however unlikely they are.
                let tokens = [
                    "null", #"{"7":{"logprob":-30.0}}"#, #"{"8":{"logprob":\#(likelihood)}}"#,
                    #"{"9":{"logprob":\#(likelihood)}}"#,
                ]
                try await peer.answer(#"{"choices":[],"prompt_logprobs":[\#(tokens.joined(separator: ","))]}"#)
            }
        }
    }

    @Test(.timeLimit(.minutes(4)), arguments: [("-2.5", 2.5), ("NaN", 50.0), ("refused", 50.0)])
    func versionsAreComparedOnHeldOutAnswers(likelihood: String, loss: Double) async throws {
        try await Self.with { bench, ledger, mlflow, _ in
            try await ScriptedUpstream.with(Self.engine(likelihood)) { new in
                try await ScriptedUpstream.with(Self.engine("-1.5")) { old in
                    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                    let redis = RedisClient(
                        configuration: try RedisConfiguration(url: try await TestServers.shared.redis()), logger: quiet)
                    let coordinator = Coordinator(redis: redis, namespace: bench.name, logger: quiet)
                    let probe = QualityProbe(coordinator: coordinator, transport: bench.transport, credential: nil)
                    let begun = try #require(try await Self.rollout(ledger))
                    for (version, port) in [("1", old.port), ("2", new.port)] {
                        // While only the old one is there, the new one has yet to start.
                        #expect(try await probe.isAwaited(begun) == (version == "2"))
                        try await coordinator.announce(
                            ReplicaRecord(
                                id: version, model: bench.name, version: version, aliases: [], host: "127.0.0.1",
                                port: port, servedName: bench.name, maximumInFlight: 1, state: .ready, since: 0))
                    }
                    let examples = (0..<3).map { HeldOutPrompts.Example(system: "s", question: "q\($0)", answer: "a") }
                    let watch = QualityWatch(
                        ledger: ledger, mlflow: mlflow, prompts: { _, count in Array(examples.prefix(count)) },
                        probe: probe, logger: quiet)
                    #expect(try await !probe.isAwaited(begun))
                    let controller = RolloutController(ledger: ledger, mlflow: mlflow, quality: watch, logger: quiet)
                    // Probes are asked beside; that the last one is there shows at the next look.
                    while try await Self.rollout(ledger)?.state == .running {
                        for rollout in try await ledger.rolloutsAlive() { try await controller.look(at: rollout) }
                    }
                    let probes = try await ledger.rolloutProbes("r")
                    #expect(probes == (0..<3).map { RolloutProbe(example: $0, candidate: loss, baseline: 1.5) })
                    let ended = try #require(try await Self.rollout(ledger))
                    #expect(ended.state == .rolledBack && ended.reason?.hasPrefix("answer_loss") == true)
                    await redis.close()
                }
            }
        }
    }
}
