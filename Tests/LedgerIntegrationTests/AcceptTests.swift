import Ledger
import Pipeline
import PostgresClient
import Testing

@Suite struct AcceptTests {
    @Test(.timeLimit(.minutes(4)))
    func aKnownEventStartsNothing() async throws {
        try await withLedger { ledger, _ in
            let spec = PipelineSpec.chain("a")
            let first = newRun(spec, event: "e")
            // Twice in one batch: the first counts.
            #expect(try await ledger.accept([first, newRun(spec, event: "e")]).newRuns == [first.id])
            // In a later batch, among new ones.
            let other = newRun(spec, event: "f")
            let later = try await ledger.accept([newRun(spec, event: "e"), other])
            #expect(later.newRuns == [other.id])
            // Another source is another event.
            let elsewhere = newRun(spec, source: "/else", event: "e")
            #expect(try await ledger.accept([elsewhere]).newRuns == [elsewhere.id])
            let nothing = try await ledger.accept([newRun(spec, event: "e")])
            #expect(nothing.newRuns.isEmpty && nothing.readyPools.isEmpty)
            #expect(try await ledger.listRuns(state: nil, pipeline: nil, limit: 10).count == 3)
            #expect(try await ledger.accept([]).newRuns.isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func twoSchedulersWithOverlappingBatchesNeverDeadlock() async throws {
        try await withLedger { ledger, _ in
            let spec = PipelineSpec.chain("a", "b")
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        var count = 0
                        for round in 0..<10 {
                            let events = (0..<50).map { "\(round)-\($0)" }.shuffled()
                            count += try await ledger.accept(events.map { newRun(spec, event: $0) }).newRuns.count
                        }
                        return count
                    }
                }
                let total = try await group.reduce(0, +)
                #expect(total == 500)
            }
            #expect(try await ledger.listRuns(state: nil, pipeline: nil, limit: 1_000).count == 500)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func fiveHundredRunsInOneBatch() async throws {
        try await withLedger { ledger, _ in
            let spec = PipelineSpec.chain("a", "b", "c", "d", "e", "f")
            let runs = (0..<500).map { _ in newRun(spec) }
            #expect(try await ledger.accept(runs).newRuns.count == 500)
            #expect(try await ledger.sendAll() == 500)
            let applied = try await ledger.apply(runs.map { result($0.id, "a") })
            #expect(applied.accepted == 500)
            #expect(try await ledger.demand().first?.ready == 500)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func oddTextComesBackAsItWas() async throws {
        let text = "ü 😀 \u{202E}rtl\u{202C} \\u0041 \" ' ; -- {1,2} NULL \u{7F}\n\t"
        try await withLedger { ledger, _ in
            let run = newRun(
                .chain("a"), source: text, event: text, parameters: ["p": .string(text), text: [1, nil, 2.5]])
            _ = try await ledger.accept([run])
            let record = try await ledger.run(run.id)
            #expect(record.parameters == run.parameters)
            #expect(record.eventSource == text)
            #expect(try await ledger.run(ofEvent: text, source: text) == run.id)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aNULIsRefusedAndNothingOfTheBatchIsKept() async throws {
        try await withLedger { ledger, _ in
            let good = newRun(.chain("a"))
            for bad in [newRun(.chain("a"), parameters: ["p": "a\0b"]), newRun(.chain("a"), event: "a\0b")] {
                await #expect(throws: PostgresError.self) { try await ledger.accept([good, bad]) }
            }
            let kept = try await ledger.listRuns(state: nil, pipeline: nil, limit: 10)
            #expect(kept.isEmpty)
            #expect(try await ledger.accept([good]).newRuns == [good.id])
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func deadLettersKeepTheirBytesAndShowTheirNULs() async throws {
        try await withLedger { ledger, _ in
            let body = (0..<2_000).map { UInt8(truncatingIfNeeded: $0) }
            let letter = NewDeadLetter(
                queue: "q", reason: "because\0", contentType: "a\0b", headers: ["k\0": ["v\0", 1]], body: body,
                bodyBytes: 5_000_000_000)
            _ = try await ledger.accept([newRun(.chain("a"))], deadLetters: [letter, letter])
            let kept = try await ledger.deadLetters(limit: 10)
            #expect(kept.count == 2)
            let one = try await ledger.deadLetter(kept[0].id)
            #expect(one.body == body)
            #expect(one.bodyBytes == 5_000_000_000)
            #expect(one.reason == "because␀")
            #expect(one.headers == ["k␀": ["v␀", 1]])
            let error = await #expect(throws: LedgerError.self) { try await ledger.deadLetter(999) }
            #expect(error?.code == .notFound)
        }
    }

    /// A ledger that was restored from before a pipeline was known.
    @Test(.timeLimit(.minutes(4)))
    func aPipelineThatVanishedIsWrittenAgain() async throws {
        try await withLedger { ledger, client in
            let spec = PipelineSpec.chain("a")
            _ = try await ledger.accept([newRun(spec)])
            try await client.query("TRUNCATE martlet.pipelines, martlet.runs, martlet.events CASCADE")
            let run = newRun(spec)
            await #expect(throws: PostgresError.self) { try await ledger.accept([run]) }
            #expect(try await ledger.accept([run]).newRuns == [run.id])
        }
    }
}
