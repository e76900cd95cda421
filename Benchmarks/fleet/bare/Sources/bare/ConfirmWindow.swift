/// Publications that the broker has not confirmed, by sequence number from 1.
struct ConfirmWindow {
    private var unconfirmed: Set<UInt64> = []
    private var lowest: UInt64 = 1
    private var next: UInt64 = 1

    var count: Int { unconfirmed.count }

    mutating func published() -> UInt64 {
        defer { next += 1 }
        unconfirmed.insert(next)
        return next
    }

    /// - Returns: the sequence numbers that are confirmed now and were not before.
    mutating func confirm(_ tag: UInt64, multiple: Bool) -> [UInt64] {
        guard multiple else { return unconfirmed.remove(tag).map { [$0] } ?? [] }
        var confirmed: [UInt64] = []
        while lowest <= tag {
            if unconfirmed.remove(lowest) != nil { confirmed.append(lowest) }
            lowest += 1
        }
        return confirmed
    }
}
