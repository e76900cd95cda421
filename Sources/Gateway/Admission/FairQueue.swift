/// Requests that wait, served by deficit round robin (Shreedhar and Varghese, 1995): over time every key gets the same
/// share of tokens, whatever it sends and however large its requests are.
///
/// Classes of priority come one after another: a lower one is served when the higher ones have nothing waiting.
struct FairQueue<Element> {
    /// Of whom, and how much, a request is.
    struct Entry {
        let id: UInt64
        let key: Int
        /// Tokens of the prompt and of the answer expected.
        let cost: Int
        let element: Element
    }

    /// Tokens that a key may send in one round.
    private static var quantum: Int { 256 }
    /// A larger request counts as one of so many tokens, so that a round is found in few steps.
    private static var costLimit: Int { 256 * 128 }

    private struct Flow {
        /// Nil where one was served: it must not keep what it stands for.
        var entries: [Entry?] = []
        /// Entries before it are served.
        var first = 0
        var deficit = 0
        var isEmpty: Bool { first == entries.count }
        var count: Int { entries.count - first }
    }

    private struct Level {
        var flows: [Int: Flow] = [:]
        /// The keys with something waiting, in the order of their turns, from `turn` on.
        var order: [Int] = []
        var turn = 0
        /// Whether the key whose turn it is was given its quantum already.
        var isCharged = false
    }

    private var levels: [Level]
    private(set) var count = 0
    /// Tokens that wait.
    private(set) var cost = 0

    /// - Parameter levels: classes of priority; 0 is the first to be served.
    init(levels: Int) {
        self.levels = Array(repeating: Level(), count: levels)
    }

    /// How many requests of a key wait.
    func count(of key: Int) -> Int {
        levels.reduce(0) { $0 + ($1.flows[key]?.count ?? 0) }
    }

    /// How many requests of each class wait.
    func count(level: Int) -> Int {
        levels[level].flows.values.reduce(0) { $0 + $1.count }
    }

    mutating func append(_ entry: Entry, level: Int) {
        if levels[level].flows[entry.key] == nil {
            levels[level].flows[entry.key] = Flow()
            levels[level].order.append(entry.key)
        }
        levels[level].flows[entry.key]?.entries.append(entry)
        count += 1
        cost += entry.cost
    }

    /// Gives back what was taken in its turn: it stays the first of its key.
    mutating func putBack(_ entry: Entry, level: Int) {
        guard var flow = levels[level].flows.removeValue(forKey: entry.key) else {
            append(entry, level: level)
            return
        }
        if flow.first > 0 {
            flow.first -= 1
            flow.entries[flow.first] = entry
        } else {
            flow.entries.insert(entry, at: 0)
        }
        flow.deficit += min(entry.cost, Self.costLimit)
        levels[level].flows[entry.key] = flow
        count += 1
        cost += entry.cost
    }

    /// Takes the request whose turn it is.
    mutating func next() -> Entry? {
        for index in levels.indices where !levels[index].order.isEmpty {
            if let entry = next(level: index) {
                count -= 1
                cost -= entry.cost
                return entry
            }
        }
        return nil
    }

    /// Takes a request out that waits no longer.
    /// - Returns: nil when it was served already.
    mutating func remove(id: UInt64, key: Int, level: Int) -> Entry? {
        guard var flow = levels[level].flows.removeValue(forKey: key) else { return nil }
        let index = flow.entries[flow.first...].firstIndex { $0?.id == id }
        let entry = index.flatMap { flow.entries.remove(at: $0) }
        if flow.isEmpty {
            endFlow(key, level: level)
        } else {
            levels[level].flows[key] = flow
        }
        guard let entry else { return nil }
        count -= 1
        cost -= entry.cost
        return entry
    }

    /// Takes requests of one key out of their turn; what they cost is taken from its next turns.
    /// - Parameters:
    ///   - limit: so many at most.
    ///   - cost: of all that are taken, at most.
    mutating func take(
        key: Int, level: Int, limit: Int, cost limitOfCost: Int, where isWanted: (Element) -> Bool
    ) -> [Entry] {
        guard var flow = levels[level].flows.removeValue(forKey: key) else { return [] }
        var taken: [Entry] = []
        var sum = 0
        var kept: [Entry?] = []
        for case let entry? in flow.entries[flow.first...] {
            if taken.count < limit, sum <= limitOfCost - entry.cost, isWanted(entry.element) {
                taken.append(entry)
                sum += entry.cost
            } else {
                kept.append(entry)
            }
        }
        guard !taken.isEmpty else {
            levels[level].flows[key] = flow
            return []
        }
        flow.entries = kept
        flow.first = 0
        // Not more than a few requests' worth: who is far in debt would wait for ever, and be looked for in vain.
        flow.deficit = max(-Self.costLimit, flow.deficit - min(sum, Self.costLimit))
        if flow.isEmpty { endFlow(key, level: level) } else { levels[level].flows[key] = flow }
        count -= taken.count
        cost -= sum
        return taken
    }

    private mutating func next(level index: Int) -> Entry? {
        while !levels[index].order.isEmpty {
            let key = levels[index].order[levels[index].turn]
            // In place, or the array is copied.
            guard var flow = levels[index].flows.removeValue(forKey: key) else { return nil }
            if !levels[index].isCharged {
                flow.deficit += Self.quantum
                levels[index].isCharged = true
            }
            guard let entry = flow.entries[flow.first] else { return nil }
            let cost = min(entry.cost, Self.costLimit)
            if cost <= flow.deficit {
                flow.deficit -= cost
                flow.entries[flow.first] = nil
                flow.first += 1
                if flow.isEmpty {
                    // Who has nothing waiting saves nothing up.
                    endFlow(key, level: index)
                } else {
                    if flow.first > 64, flow.first * 2 > flow.entries.count {
                        flow.entries.removeFirst(flow.first)
                        flow.first = 0
                    }
                    levels[index].flows[key] = flow
                }
                return entry
            }
            levels[index].flows[key] = flow
            levels[index].turn = (levels[index].turn + 1) % levels[index].order.count
            levels[index].isCharged = false
        }
        return nil
    }

    private mutating func endFlow(_ key: Int, level index: Int) {
        guard let place = levels[index].order.firstIndex(of: key) else { return }
        levels[index].order.remove(at: place)
        if place < levels[index].turn {
            levels[index].turn -= 1
        } else if place == levels[index].turn {
            levels[index].isCharged = false
        }
        if levels[index].turn >= levels[index].order.count { levels[index].turn = 0 }
    }
}
