/// Names of the statements prepared on one connection, the least recently used evicted first.
struct StatementCache {
    private struct Entry {
        var name: String
        var lastUse: UInt64
    }

    let limit: Int
    private var entries: [String: Entry] = [:]
    /// SQL texts seen once: a statement is prepared at its second use, so one-off statements stay out.
    private var seen: Set<String> = []
    private var clock: UInt64 = 0
    private var nextName: UInt64 = 0

    init(limit: Int) {
        self.limit = limit
    }

    var count: Int { entries.count }

    mutating func name(for key: String) -> String? {
        guard entries[key] != nil else { return nil }
        clock += 1
        entries[key]?.lastUse = clock
        return entries[key]?.name
    }

    /// Whether `key` deserves to be prepared now.
    mutating func noteUse(of key: String) -> Bool {
        guard limit > 0 else { return false }
        if seen.remove(key) != nil { return true }
        if seen.count >= limit * 4 { seen.removeAll(keepingCapacity: true) }
        seen.insert(key)
        return false
    }

    mutating func makeName() -> String {
        nextName += 1
        return "martlet_\(nextName)"
    }

    mutating func insert(_ key: String, name: String) {
        clock += 1
        entries[key] = Entry(name: name, lastUse: clock)
    }

    /// Takes out the least recently used entry when the cache is full, for DEALLOCATE.
    mutating func evict() -> String? {
        guard entries.count >= limit, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) else {
            return nil
        }
        entries[oldest.key] = nil
        return oldest.value.name
    }

    @discardableResult
    mutating func remove(_ key: String) -> String? {
        entries.removeValue(forKey: key)?.name
    }

    mutating func removeAll() {
        entries = [:]
    }
}
