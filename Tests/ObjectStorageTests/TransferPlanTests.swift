import Crypto
import Testing

@testable import ObjectStorage

@Suite struct TransferPlanTests {
    @Test(arguments: [0, 1, (16 << 20) - 1, 16 << 20, (16 << 20) + 1, 1 << 30, 5 << 40] as [Int64])
    func coversEveryByteOnce(_ size: Int64) throws {
        let plan = try TransferPlan(size: size, partSize: 16 << 20)
        var position: Int64 = 0
        for index in 0..<plan.count {
            #expect(plan[index].offset == position)
            #expect(plan[index].number == index + 1)
            position += plan[index].length
        }
        #expect(position == size)
        #expect(plan.count <= 10_000)
        #expect(plan.isSingle == (plan.count == 1))
    }

    @Test func refusesWhatNoStoreTakes() {
        #expect(throws: S3Error.self) { try TransferPlan(size: (5 << 40) + 1, partSize: 16 << 20) }
    }

    @Test func growsStreamedPartsPastFiveTebibytes() throws {
        var total: Int64 = 0
        for number in 1...10_000 { total += Int64(try S3Client.partSize(number: number, first: 16 << 20)) }
        #expect(total >= 5 << 40)
        #expect(throws: S3Error.self) { try S3Client.partSize(number: 10_001, first: 16 << 20) }
    }

    @Test func restoresOrder() {
        var order = InOrder()
        #expect(Array(order.insert(1)).isEmpty)
        #expect(Array(order.insert(0)) == [0, 1])
        #expect(Array(order.insert(3)).isEmpty)
        #expect(Array(order.insert(2)) == [2, 3])
    }

    @Test(arguments: [0, 1, 9, 10, 11, 25, 30])
    func fillsPartsFromChunksOfAnySize(_ count: Int) async throws {
        let bytes = (0..<count).map { UInt8($0) }
        let chunks = AsyncStream<[UInt8]> { continuation in
            var rest = bytes[...]
            var size = 0
            while !rest.isEmpty {
                continuation.yield(Array(rest.prefix(size)))
                rest = rest.dropFirst(size)
                size = (size + 3) % 13
            }
            continuation.finish()
        }
        var filler = PartFiller(source: chunks.makeAsyncIterator())
        var parts: [[UInt8]] = []
        repeat { parts.append(try await filler.next(size: 10)) } while !filler.isAtEnd
        #expect(parts.flatMap { $0 } == bytes)
        #expect(parts.dropLast().allSatisfy { $0.count == 10 })
        #expect(parts.count == max(1, (count + 9) / 10))
        #expect(filler.size == Int64(count))
        #expect(Hex.encode(filler.finish()) == Hex.sha256(bytes))
    }
}
