import Synchronization

/// What one request took, in the end.
struct UsageRecord: Sendable {
    /// The key's number in the ledger; 0 without keys.
    let key: Int
    let deployment: Int
    let endpoint: Endpoint
    let status: Int
    let use: TokenUse
    /// Millionths of the currency's unit.
    let cost: Int64
    /// Whether the answer was cut short, so that its tokens were counted here and not by the model server.
    let isPartial: Bool
}

/// Sums of what requests took, by key and model version, until the ledger has them.
final class UsageBook: Sendable {
    struct Line: Hashable, Sendable {
        let key: Int
        let deployment: Int
    }

    struct Sum: Equatable, Sendable {
        var requests = 0
        var failed = 0
        var partial = 0
        var use = TokenUse()
        var cost: Int64 = 0
    }

    private let sums = Mutex<[Line: Sum]>([:])

    func record(_ record: UsageRecord) {
        sums.withLock { sums in
            let line = Line(key: record.key, deployment: record.deployment)
            sums[line, default: Sum()].add(record)
        }
    }

    /// Takes all sums out.
    func take() -> [Line: Sum] {
        sums.withLock { sums in
            defer { sums = [:] }
            return sums
        }
    }
}

extension UsageBook.Sum {
    mutating func add(_ record: UsageRecord) {
        requests += 1
        if record.status >= 500 { failed += 1 }
        if record.isPartial { partial += 1 }
        use.prompt += record.use.prompt
        use.completion += record.use.completion
        use.cached += record.use.cached
        cost += record.cost
    }
}
