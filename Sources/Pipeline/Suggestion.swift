/// Finds the name that was probably meant.
package enum Suggestion {
    /// The nearest of `names` to `word`, or nil when none is near enough to be a slip of the pen.
    ///
    /// Near is at most a third of the longer word's length in edits (at least one); ties go to the first in order.
    package static func nearest(to word: String, in names: some Sequence<String>) -> String? {
        let target = Array(word.lowercased().unicodeScalars.prefix(80))
        var best: (name: String, distance: Int)?
        for name in names.sorted() {
            let candidate = Array(name.lowercased().unicodeScalars.prefix(80))
            let distance = edits(from: target, to: candidate)
            guard distance <= max(1, max(target.count, candidate.count) / 3), distance < candidate.count else {
                continue
            }
            if best.map({ distance < $0.distance }) ?? true { best = (name, distance) }
        }
        return best?.name
    }

    /// The end of a message about an unknown name: the nearest one, or all of them.
    package static func advice(for word: String, in names: some Sequence<String>, plural: String) -> String {
        if let near = nearest(to: word, in: names) { return "did you mean \"\(near)\"?" }
        let all = names.sorted()
        if all.isEmpty { return "there are no \(plural)" }
        let shown = all.prefix(20).joined(separator: ", ")
        return "the \(plural) are \(shown)" + (all.count > 20 ? " and \(all.count - 20) more" : "")
    }

    /// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours count one each.
    private static func edits(from left: [Unicode.Scalar], to right: [Unicode.Scalar]) -> Int {
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for row in 0..<left.count {
            var current = [row + 1]
            current.reserveCapacity(right.count + 1)
            for column in 0..<right.count {
                let change = previous[column] + (left[row] == right[column] ? 0 : 1)
                var cost = min(change, previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    cost = min(cost, beforePrevious[column - 1] + 1)
                }
                current.append(cost)
            }
            beforePrevious = previous
            previous = current
        }
        return previous[right.count]
    }
}
