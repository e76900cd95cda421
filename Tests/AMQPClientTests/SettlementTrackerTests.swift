import Testing

@testable import AMQPClient

@Suite struct SettlementTrackerTests {
    private func tracker(delivered: UInt64) -> SettlementTracker {
        var tracker = SettlementTracker(epoch: 3)
        for tag in 1...delivered { tracker.delivered(tag) }
        return tracker
    }

    private func ack(_ tag: UInt64, _ verdict: Settlement.Verdict = .ack, epoch: UInt64 = 3) -> Settlement {
        Settlement(epoch: epoch, tag: tag, verdict: verdict)
    }

    @Test func acksFromTheOldestOnShareOneFrame() {
        var tracker = tracker(delivered: 10)
        #expect(tracker.settle((1...5).map { ack($0) }).frames == [.ack(5, multiple: true)])
        #expect(tracker.unsettled == 5)
    }

    @Test func aGapKeepsAcksApart() {
        var tracker = tracker(delivered: 10)
        let first = tracker.settle([ack(4), ack(2), ack(1)])
        #expect(first.frames == [.ack(2, multiple: true), .ack(4, multiple: false)])
        // 3 closes the gap; it alone is new, so nothing else may be named.
        #expect(tracker.settle([ack(3)]).frames == [.ack(3, multiple: false)])
        #expect(tracker.settle([ack(5), ack(6)]).frames == [.ack(6, multiple: true)])
        #expect(tracker.unsettled == 4)
    }

    @Test func whatTheBrokerWouldRefuseIsDropped() {
        var tracker = tracker(delivered: 3)
        let result = tracker.settle([ack(1), ack(1), ack(2, epoch: 2), ack(9), ack(0)])
        #expect(result.frames == [.ack(1, multiple: false)])
        #expect(result.dropped == 4)
        #expect(tracker.settle([ack(1, .requeue)]).dropped == 1)
    }

    @Test func refusalsGoOneByOneAndBeforeTheAckThatCoversThem() {
        var tracker = tracker(delivered: 4)
        let result = tracker.settle([ack(1), ack(2, .requeue), ack(3, .discard), ack(4)])
        #expect(
            result.frames == [.nack(2, requeue: true), .nack(3, requeue: false), .ack(4, multiple: true)])
        #expect(tracker.unsettled == 0)
    }

    @Test func ackUpToCoversAllBefore() {
        var tracker = tracker(delivered: 6)
        let result = tracker.settle([ack(2), ack(4, .ackUpTo), ack(6)])
        #expect(result.frames == [.ack(4, multiple: true), .ack(6, multiple: false)])
        #expect(tracker.unsettled == 1)
        #expect(tracker.settle([ack(3)]).dropped == 1)
    }

    /// Every order of acknowledging leaves the broker with each tag settled exactly once.
    @Test func randomOrdersSettleEachTagOnce() {
        for _ in 0..<200 {
            var tracker = tracker(delivered: 40)
            var broker = Set<UInt64>(1...40)
            var left = (1...40).map { ack(UInt64($0), [.ack, .requeue, .discard].randomElement() ?? .ack) }.shuffled()
            while !left.isEmpty {
                let round = Array(left.prefix(Int.random(in: 1...9)))
                left.removeFirst(round.count)
                for frame in tracker.settle(round).frames {
                    switch frame {
                    case .ack(let tag, let multiple):
                        #expect(broker.contains(tag), "unknown delivery tag \(tag)")
                        if multiple {
                            let settled = broker.filter { $0 <= tag }
                            #expect(settled.isSubset(of: round.filter { $0.verdict == .ack }.map(\.tag)))
                            broker.subtract(settled)
                        } else {
                            broker.remove(tag)
                        }
                    case .nack(let tag, _):
                        #expect(broker.remove(tag) != nil)
                    }
                }
            }
            #expect(broker.isEmpty)
            #expect(tracker.unsettled == 0)
        }
    }
}
