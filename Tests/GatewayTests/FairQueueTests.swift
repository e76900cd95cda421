import Testing

@testable import Gateway

@Suite struct FairQueueTests {
    private static func entry(_ id: UInt64, key: Int, cost: Int) -> FairQueue<UInt64>.Entry {
        FairQueue<UInt64>.Entry(id: id, key: key, cost: cost, element: id)
    }

    @Test func keysGetTheSameShareOfTokensWhateverTheySend() throws {
        var queue = FairQueue<UInt64>(levels: 1)
        var id: UInt64 = 0
        // One key floods with large requests, one sends middling ones, one small ones.
        let costs = [1: 2_000, 2: 300, 3: 40]
        for (key, cost) in costs {
            for _ in 0..<6_000 {
                id += 1
                queue.append(Self.entry(id, key: key, cost: cost), level: 0)
            }
        }
        var served: [Int: Int] = [:]
        while served.values.reduce(0, +) < 300_000 {
            let entry = queue.next()
            let (key, cost) = try #require(entry.map { ($0.key, $0.cost) })
            served[key, default: 0] += cost
        }
        for share in served.values { #expect(abs(share - 100_000) < 5_000, "\(served)") }
    }

    @Test func aQuietKeyIsServedAtOnceBesideAFlood() {
        var queue = FairQueue<UInt64>(levels: 1)
        for id in 1...1_000 { queue.append(Self.entry(UInt64(id), key: 1, cost: 500), level: 0) }
        for _ in 0..<10 { _ = queue.next() }
        queue.append(Self.entry(5_000, key: 2, cost: 500), level: 0)
        let next = (0..<4).map { _ in queue.next()?.id }
        #expect(next.contains(5_000), "\(next)")
    }

    @Test func classesComeOneAfterAnother() {
        var queue = FairQueue<UInt64>(levels: 3)
        queue.append(Self.entry(1, key: 1, cost: 9), level: 2)
        queue.append(Self.entry(2, key: 1, cost: 9), level: 1)
        queue.append(Self.entry(3, key: 2, cost: 9_000), level: 0)
        #expect(queue.count == 3 && queue.cost == 9_018 && queue.count(of: 1) == 2 && queue.count(level: 0) == 1)
        #expect([queue.next()?.id, queue.next()?.id, queue.next()?.id, queue.next()?.id] == [3, 2, 1, nil])
        #expect(queue.count == 0 && queue.cost == 0)
    }

    @Test func oneKeysRequestsKeepTheirOrder() {
        var queue = FairQueue<UInt64>(levels: 1)
        for id in 1...500 { queue.append(Self.entry(UInt64(id), key: 7, cost: Int(id % 5) * 300), level: 0) }
        #expect((1...500).map { _ in queue.next()?.id } == (1...500).map { UInt64($0) })
    }

    @Test(arguments: [1, 3]) func whatIsPutBackHasKeptItsTurn(count: Int) {
        var queue = FairQueue<UInt64>(levels: 2)
        for id in 1...UInt64(count) {
            queue.append(Self.entry(id, key: 1, cost: 900), level: 1)
            queue.append(Self.entry(id + 10, key: 2, cost: 900), level: 1)
        }
        var other = queue
        let taken = (0..<2).compactMap { _ in queue.next() }
        for entry in taken.reversed() { queue.putBack(entry, level: 1) }
        #expect(queue.count == 2 * count && queue.cost == 1_800 * count && queue.count(of: 1) == count)
        // Each key's requests in their order, and each key has its share.
        let ids = (0..<2 * count).compactMap { _ in queue.next()?.id }
        #expect(ids.filter { $0 < 10 } == Array(1...UInt64(count)) && Set(ids).count == 2 * count)
        #expect(ids.prefix(2).count { $0 < 10 } == (0..<2).compactMap { _ in other.next()?.id }.count { $0 < 10 })
        #expect(queue.next() == nil && queue.cost == 0)
    }

    @Test func whoLeavesIsGoneAtOnce() {
        var queue = FairQueue<UInt64>(levels: 1)
        for id in 1...4 { queue.append(Self.entry(UInt64(id), key: Int(id % 2), cost: 10), level: 0) }
        #expect(queue.remove(id: 3, key: 1, level: 0)?.id == 3)
        #expect(queue.remove(id: 3, key: 1, level: 0) == nil)
        #expect(queue.remove(id: 9, key: 9, level: 0) == nil)
        #expect(queue.remove(id: 1, key: 1, level: 0)?.id == 1)
        #expect(queue.count == 2 && queue.cost == 20 && queue.count(of: 1) == 0)
        #expect([queue.next()?.id, queue.next()?.id, queue.next()?.id] == [2, 4, nil])
    }

    /// Against a list that is searched: nothing lost, nothing served twice, counts right, whatever comes and goes.
    @Test func nothingIsLostInAnyOrder() {
        var generator = SystemRandomNumberGenerator()
        var queue = FairQueue<UInt64>(levels: 3)
        var waiting: [UInt64: (key: Int, level: Int, cost: Int)] = [:]
        for id in 1...20_000 as ClosedRange<UInt64> {
            switch Int.random(in: 0..<5, using: &generator) {
            case 0...2:
                let place = (key: Int.random(in: 0..<6), level: Int.random(in: 0..<3), cost: Int.random(in: 0..<5_000))
                waiting[id] = place
                queue.append(Self.entry(id, key: place.key, cost: place.cost), level: place.level)
            case 3:
                let served = queue.next()
                #expect((served == nil) == waiting.isEmpty)
                if let served {
                    let place = waiting.removeValue(forKey: served.id)
                    #expect(waiting.values.allSatisfy { $0.level >= place?.level ?? 9 })
                }
            default:
                guard let (id, place) = waiting.randomElement() else { continue }
                #expect(queue.remove(id: id, key: place.key, level: place.level)?.id == id)
                waiting[id] = nil
            }
            #expect(queue.count == waiting.count)
        }
        #expect(queue.cost == waiting.values.reduce(0) { $0 + $1.cost })
    }
}
