/// Turns completions in any order into completions in order.
struct InOrder {
    private var next = 0
    private var early: Set<Int> = []

    /// - Returns: the indices that are complete together with all before them, and were not given out yet.
    mutating func insert(_ index: Int) -> Range<Int> {
        early.insert(index)
        let start = next
        while early.remove(next) != nil { next += 1 }
        return start..<next
    }
}
