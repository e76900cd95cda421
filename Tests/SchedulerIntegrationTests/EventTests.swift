import AMQPClient
import Broker
import Ledger
import Pipeline
import TestFleet
import Testing
import WorkerRuntime

/// Events on their way into the ledger, good ones and others.
@Suite struct EventTests {
    private static let spec = PipelineSpec(
        name: "p", parameters: ["n": 1], stages: [StageSpec(name: "a", kind: "test", parameters: ["n": "${n}"])])

    private func letter(
        for fleet: Fleet, _ message: AMQPMessage
    ) async throws -> DeadLetter {
        try await fleet.publish(raw: message)
        try await eventually { try await fleet.ledger.counts().deadLetters == 1 }
        let id = try #require(try await fleet.ledger.deadLetters(limit: 1).first?.id)
        return try await fleet.ledger.deadLetter(id)
    }

    @Test(.timeLimit(.minutes(3)))
    func anEventThatComesThreeTimesStartsOneRun() async throws {
        try await Fleet.with(Self.spec) { fleet in
            try await fleet.startScheduler()
            try await fleet.startScheduler()
            for _ in 0..<3 { try await fleet.publish("p", id: "same") }
            try await fleet.publish("p", id: "other")
            for event in ["same", "other"] {
                try await eventually { try await fleet.ledger.run(ofEvent: event, source: "/test") != nil }
            }
            try await eventually {
                try await fleet.broker.client.queueStatus("martlet.scheduler.events")?.readyMessages == 0
            }
            #expect(try await fleet.ledger.listRuns(state: nil, pipeline: nil, limit: 10).count == 2)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func anUnknownPipelineIsADeadLetterThatNamesTheKnownOnes() async throws {
        try await Fleet.with(Self.spec) { fleet in
            try await fleet.startScheduler()
            try await fleet.publish("nope")
            try await eventually { try await fleet.ledger.counts().deadLetters == 1 }
            let letter = try #require(try await fleet.ledger.deadLetters(limit: 1).first)
            #expect(letter.reason.contains("\"nope\""))
            #expect(letter.reason.contains("there are p"))
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func whatIsNotJSONIsKeptWithItsBytes() async throws {
        try await Fleet.with(Self.spec) { fleet in
            try await fleet.startScheduler()
            let letter = try await letter(
                for: fleet, AMQPMessage(body: [0x7B, 0, 0xFF], contentType: "x/\0y", headers: ["a\0b": "c\0d"]))
            #expect(letter.body == [0x7B, 0, 0xFF])
            #expect(letter.bodyBytes == 3)
            #expect(letter.queue == "martlet.scheduler.events")
            #expect(letter.contentType == "x/␀y")
        }
    }

    /// Larger than the client takes: refused on receipt, and never twice.
    @Test(.timeLimit(.minutes(3)))
    func anEventOfTwentyMegabytesIsADeadLetterOnce() async throws {
        try await Fleet.with(Self.spec) { fleet in
            try await fleet.startScheduler()
            var configuration = fleet.broker.client.configuration
            configuration.maximumMessageBytes = 64 << 20
            let client = AMQPClient(configuration: configuration, connectionName: "large", logger: quiet)
            let bytes = [UInt8](repeating: 0x20, count: 20 << 20)
            try await client.publish(
                AMQPMessage(body: bytes), to: "martlet.events", routingKey: "x", timeout: .seconds(30))
            await client.close()
            try await eventually { try await fleet.ledger.counts().deadLetters == 1 }
            let letter = try #require(try await fleet.ledger.deadLetters(limit: 1).first)
            #expect(letter.bodyBytes == 20 << 20)
            #expect(letter.reason.contains("20971520 bytes"))
            // The fleet goes on, and the letter stays the only one.
            _ = try await fleet.run("p")
            #expect(try await fleet.ledger.counts().deadLetters == 1)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func whatTheLedgerCannotStoreIsADeadLetterAndItsNeighboursAreNot() async throws {
        try await Fleet.with(
            PipelineSpec(name: "p", parameters: ["s": ""], stages: [StageSpec(name: "a", kind: "test")])
        ) { fleet in
            for index in 0..<5 {
                try await fleet.publish("p", id: "e\(index)", parameters: ["s": index == 2 ? "a\0b" : "fine"])
            }
            try await fleet.publish("p", id: "nul\0id")
            try await fleet.startScheduler()
            try await eventually { try await fleet.ledger.counts().deadLetters == 2 }
            #expect(try await fleet.ledger.listRuns(state: nil, pipeline: nil, limit: 10).count == 4)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func wrongParametersAndPrioritiesAreRefused() async throws {
        try await Fleet.with(Self.spec) { fleet in
            try await fleet.startScheduler()
            try await fleet.publish("p", parameters: ["m": 1])
            try await fleet.publish("p", parameters: ["n": "text"])
            try await fleet.publish("p", priority: 1_000)
            try await eventually { try await fleet.ledger.counts().deadLetters == 3 }
            let reasons = try await fleet.ledger.deadLetters(limit: 3).map(\.reason).joined(separator: "\n")
            #expect(reasons.contains("there is no parameter \"m\""))
            #expect(reasons.contains("must be an integer"))
            #expect(reasons.contains("data.priority is 1000"))
            #expect(try await fleet.ledger.listRuns(state: nil, pipeline: nil, limit: 10).isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aMessageThatIsNoResultIsADeadLetterWithItsReason() async throws {
        try await Fleet.with(Self.spec) { fleet in
            try await fleet.startScheduler()
            try await fleet.broker.client.publish(
                AMQPMessage(body: Array("{}".utf8)), to: "martlet.results", routingKey: "martlet.scheduler.results",
                timeout: .seconds(10))
            try await eventually { try await fleet.ledger.counts().deadLetters == 1 }
            let letter = try #require(try await fleet.ledger.deadLetters(limit: 1).first)
            #expect(letter.queue == "martlet.scheduler.results")
            #expect(letter.reason.contains("lacks"))
        }
    }
}
