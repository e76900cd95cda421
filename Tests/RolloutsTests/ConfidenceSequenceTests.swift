import Pipeline
import Testing

@testable import Rollouts

/// A generator that gives the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &+ 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}

@Suite struct ConfidenceSequenceTests {
    /// The interval at a moment, of two streams of which one is better by `difference`.
    private static func interval(_ new: Moments, _ old: Moments, mixture: Double, alpha: Double) -> ConfidenceSequence {
        ConfidenceSequence(
            difference: new.mean - old.mean,
            variance: new.variance / Double(new.count) + old.variance / Double(old.count), mixture: mixture,
            alpha: alpha)
    }

    /// What a fixed interval does not: it is looked at after every sample, and the truth is outside in no more runs than
    /// alpha says.
    @Test func whoLooksAllTheTimeIsNotMisled() {
        var generator = SeededGenerator(state: 1)
        let runs = 400
        var wrong = 0
        for _ in 0..<runs {
            var (new, old) = (Moments(), Moments())
            for step in 0..<1_000 {
                new.add(Double.random(in: 0..<1, using: &generator))
                old.add(Double.random(in: 0..<1, using: &generator))
                guard step > 20 else { continue }
                let interval = Self.interval(new, old, mixture: 0.1, alpha: 0.05)
                if interval.lower > 0 || interval.upper < 0 {
                    wrong += 1
                    break
                }
            }
        }
        #expect(wrong <= runs / 20, "\(wrong) of \(runs)")
    }

    @Test func itNarrowsOnTheTruth() {
        var generator = SeededGenerator(state: 2)
        var (new, old) = (Moments(), Moments())
        var width = Double.infinity
        for round in 0..<5 {
            for _ in 0..<(1_000 << (2 * round)) {
                new.add(Double.random(in: 0..<1, using: &generator) + 0.2)
                old.add(Double.random(in: 0..<1, using: &generator))
            }
            let interval = Self.interval(new, old, mixture: 0.1, alpha: 0.01)
            #expect(interval.lower < 0.2 && interval.upper > 0.2)
            #expect(interval.upper - interval.lower < width)
            width = interval.upper - interval.lower
        }
        #expect(width < 0.02)
    }

    @Test func noVarianceIsNoCertainty() {
        let interval = ConfidenceSequence(difference: 0, variance: 0, mixture: 0.1, alpha: 0.01)
        #expect(interval.lower < 0 && interval.upper > 0 && interval.upper.isFinite)
    }
}
