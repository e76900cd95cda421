/// Count, sum and sum of squares: all that a mean and its variance need, and what can be added up over processes.
package struct Moments: Hashable, Sendable {
    package var count: Int
    package var sum: Double
    package var squares: Double

    package init(count: Int = 0, sum: Double = 0, squares: Double = 0) {
        self.count = count
        self.sum = sum
        self.squares = squares
    }

    package mutating func add(_ value: Double) {
        count += 1
        sum += value
        squares += value * value
    }

    package static func += (left: inout Moments, right: Moments) {
        left.count += right.count
        left.sum += right.sum
        left.squares += right.squares
    }

    package var mean: Double { count == 0 ? 0 : sum / Double(count) }

    /// Of the sample, unbiased.
    package var variance: Double {
        guard count > 1 else { return 0 }
        return max(0, (squares - sum * sum / Double(count)) / Double(count - 1))
    }
}
