import Foundation
import Pipeline
import Testing

@testable import Gateway

@Suite(.timeLimit(.minutes(4))) struct UsageJournalTests {
    private static let prices = PriceTable(
        byModel: ["m": PriceTable.Price(prompt: 1_000_000, cached: 500_000, completion: 10_000_000)])

    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.path + "/journal-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private static func sum(_ batch: UsageJournal.Batch?) -> UsageLine.Sum {
        (batch?.lines ?? []).reduce(into: UsageLine.Sum()) { $0 += $1.sum }
    }

    @Test func finishedRequestsAreSummedByHourKeyAndVersion() throws {
        try Self.withFolder { folder in
            let journal = try UsageJournal.make(in: folder, prices: Self.prices)
            for (key, version, second) in [
                (1, "1", 3_600), (1, "1", 7_199), (1, "1", 7_200), (2, "1", 3_600), (1, "2", 3_600),
            ] {
                let slot = try #require(
                    journal.begin(key: key, model: "m", version: version, prompt: 5, second: second))
                slot.finish(status: 200, use: TokenUse(prompt: 5, completion: 2, cached: 1), cost: 7, isPartial: false)
            }
            let running = journal.begin(key: 9, model: "m", version: "1", prompt: 5, second: 3_600)
            #expect(running != nil)
            let batch = try #require(journal.nextBatch())
            let lines = Dictionary(uniqueKeysWithValues: batch.lines.map { ($0.group, $0.sum.requests) })
            #expect(
                lines == [
                    UsageLine.Group(hour: 1, key: 1, model: "m", version: "1"): 2,
                    UsageLine.Group(hour: 2, key: 1, model: "m", version: "1"): 1,
                    UsageLine.Group(hour: 1, key: 2, model: "m", version: "1"): 1,
                    UsageLine.Group(hour: 1, key: 1, model: "m", version: "2"): 1,
                ])
            let sum = Self.sum(batch)
            #expect(sum.promptTokens == 25 && sum.cachedTokens == 5 && sum.completionTokens == 10 && sum.cost == 35)
            journal.confirm(batch)
            #expect(journal.nextBatch() == nil)
            running?.finish(status: 502, use: TokenUse(), cost: 0, isPartial: true)
            let last = Self.sum(journal.nextBatch())
            #expect(last.requests == 1 && last.failed == 1 && last.partial == 1)
        }
    }

    /// Until the ledger has a batch, the same one comes again; what is finished meanwhile waits for the next.
    @Test func aBatchStaysTheSameUntilItIsConfirmed() throws {
        try Self.withFolder { folder in
            let journal = try UsageJournal.make(in: folder, prices: Self.prices)
            func add() {
                journal.begin(key: 1, model: "m", version: "1", prompt: 1, second: 0)?
                    .finish(status: 200, use: TokenUse(prompt: 1), cost: 1, isPartial: false)
            }
            add()
            let first = try #require(journal.nextBatch())
            add()
            let again = try #require(journal.nextBatch())
            #expect(again.number == first.number && again.lines == first.lines)
            journal.confirm(first)
            let next = try #require(journal.nextBatch())
            #expect(next.number == first.number + 1 && Self.sum(next).requests == 1)
            // A confirmation that comes twice confirms nothing else.
            journal.confirm(first)
            #expect(journal.nextBatch()?.number == next.number)
        }
    }

    /// As after SIGKILL: the memory of the process is gone, the files are as the kernel has them.
    @Test func theNextProcessFindsEverything() throws {
        try Self.withFolder { folder in
            let batchNumber: Int64
            let name: String
            do {
                let journal = try UsageJournal.make(in: folder, prices: Self.prices)
                name = journal.name
                journal.begin(key: 1, model: "m", version: "1", prompt: 3, second: 0)?
                    .finish(status: 200, use: TokenUse(prompt: 3, completion: 1), cost: 13, isPartial: false)
                // Sent, perhaps; confirmed it is not.
                batchNumber = try #require(journal.nextBatch()).number
                journal.begin(key: 1, model: "m", version: "1", prompt: 4, second: 0)?
                    .finish(status: 200, use: TokenUse(prompt: 4, completion: 1), cost: 14, isPartial: false)
                let stream = journal.begin(key: 2, model: "m", version: "1", prompt: 8, second: 0)
                stream?.progress(completion: 6)
                // Whoever runs is left alone.
                #expect(UsageJournal.leftBehind(in: folder, prices: Self.prices).isEmpty)
            }
            let found = UsageJournal.leftBehind(in: folder, prices: Self.prices)
            let journal = try #require(found.first)
            #expect(found.count == 1 && journal.name == name)
            // The batch that may have been sent has the same number and the same content.
            let first = try #require(journal.nextBatch())
            #expect(first.number == batchNumber && Self.sum(first).cost == 13)
            journal.confirm(first)
            let second = try #require(journal.nextBatch())
            let sum = Self.sum(second)
            #expect(second.number == batchNumber + 1 && sum.requests == 2 && sum.partial == 1)
            // 14 of the finished one; of the stream 8 tokens at 1 and 6 at 10.
            #expect(sum.cost == 14 + 68 && sum.completionTokens == 7)
            journal.confirm(second)
            #expect(journal.nextBatch() == nil)
            journal.remove()
            #expect(UsageJournal.leftBehind(in: folder, prices: Self.prices).isEmpty)
        }
    }

    @Test func filesGoWhenTheyAreConfirmed() throws {
        try Self.withFolder { folder in
            let journal = try UsageJournal.make(in: folder, prices: Self.prices)
            var total = 0
            for _ in 0..<4 {
                for _ in 0..<15_000 {
                    journal.begin(key: 1, model: "m", version: "1", prompt: 1, second: 0)?
                        .finish(status: 200, use: TokenUse(prompt: 1), cost: 1, isPartial: false)
                }
                let batch = try #require(journal.nextBatch())
                total += Self.sum(batch).requests
                journal.confirm(batch)
                let files = try FileManager.default.contentsOfDirectory(atPath: journal.folder)
                #expect(files.filter { $0.hasSuffix(".slots") }.count == 1, "\(files)")
            }
            #expect(total == 60_000)
        }
    }

    @Test func manyThreadsLoseNothing() async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/journal-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let journal = try UsageJournal.make(in: folder, prices: Self.prices)
        let total = await withTaskGroup(of: Int.self) { group in
            for key in 0..<4 {
                group.addTask {
                    for _ in 0..<20_000 {
                        journal.begin(key: key, model: "m", version: "1", prompt: 1, second: 0)?
                            .finish(status: 200, use: TokenUse(prompt: 1), cost: 1, isPartial: false)
                    }
                    return 0
                }
            }
            var total = 0
            var left = 4
            while left > 0 {
                left -= await group.next() == nil ? left : 1
                while let batch = journal.nextBatch() {
                    total += Self.sum(batch).requests
                    journal.confirm(batch)
                }
            }
            return total
        }
        #expect(total == 80_000)
    }
}
