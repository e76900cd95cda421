/// Who may open a connection now: first come, first served within the limits. A value with no I/O.
struct Admission {
    private let limit: Int
    private let limitPerOrigin: Int
    private var origins: [TransferID: String] = [:]
    private var open: [String: Int] = [:]
    private var inside: Set<TransferID> = []
    private var queue: [TransferID] = []

    init(limit: Int, limitPerOrigin: Int) {
        self.limit = max(limit, 1)
        self.limitPerOrigin = max(limitPerOrigin, 1)
    }

    /// - Returns: whether the transfer may begin now; otherwise `leave` of another names it later.
    mutating func enter(_ id: TransferID, origin: String) -> Bool {
        origins[id] = origin
        // Nobody who waits is overtaken by a newcomer: waiting means the limit of its origin, or of all, is reached.
        guard admit(id) else {
            queue.append(id)
            return false
        }
        return true
    }

    /// - Returns: those that may begin now.
    mutating func leave(_ id: TransferID) -> [TransferID] {
        guard let origin = origins.removeValue(forKey: id) else { return [] }
        guard inside.remove(id) != nil else {
            queue.removeAll { $0 == id }
            return []
        }
        let rest = (open[origin] ?? 1) - 1
        open[origin] = rest == 0 ? nil : rest
        var admitted: [TransferID] = []
        for waiter in queue where inside.count < limit && admit(waiter) { admitted.append(waiter) }
        if !admitted.isEmpty {
            queue.removeAll { inside.contains($0) }
        }
        return admitted
    }

    private mutating func admit(_ id: TransferID) -> Bool {
        guard let origin = origins[id], inside.count < limit, open[origin, default: 0] < limitPerOrigin else {
            return false
        }
        open[origin, default: 0] += 1
        inside.insert(id)
        return true
    }
}
