import Ledger
import Logging
import Metrics
import Pipeline
import Synchronization

/// Brings what requests took from the journals to the ledger.
struct UsageFlusher: Sendable {
    let journal: UsageJournal
    /// The folder of all journals of this machine: those that are left behind are brought to their end here.
    let parent: String
    let prices: PriceTable
    let keys: KeyTable
    let ledger: Ledger
    let log: Logger

    private static let interval = Duration.seconds(1)
    /// Between two looks for journals that were left behind.
    private static let search = Duration.seconds(10)

    /// Until it is cancelled.
    func run() async {
        var searched = ContinuousClock.now - Self.search
        var isAway = false
        while !Task.isCancelled {
            do {
                // What failed before, and what is finished now; what comes meanwhile has its turn in a second: else the
                // ledger would be asked as often as it can answer.
                for _ in 0..<2 where try await flushOnce(journal) == false { break }
                if isAway { log.notice("the ledger takes the usage again") }
                isAway = false
                if ContinuousClock.now - searched >= Self.search {
                    searched = .now
                    try await finishLeftBehind()
                }
            } catch {
                guard !Task.isCancelled else { return }
                if !isAway {
                    log.warning(
                        "the ledger does not take the usage; it is kept in the journal", metadata: ["error": "\(error)"]
                    )
                }
                isAway = true
            }
            let lost = journal.takeLost()
            if lost > 0 {
                Self.count(lost: lost)
                log.error(
                    "requests could not be written into the usage journal; make room on its disk",
                    metadata: ["requests": "\(lost)", "folder": "\(journal.folder)"])
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    static func count(lost: Int) { Counter(label: "martlet_gateway_usage_lost_total").increment(by: lost) }

    /// Brings all that is finished to the ledger.
    func flush(_ journal: UsageJournal) async throws {
        while try await flushOnce(journal) {}
    }

    /// - Returns: whether there was something.
    private func flushOnce(_ journal: UsageJournal) async throws -> Bool {
        guard let batch = journal.nextBatch() else { return false }
        try await ledger.addUsage(batch.lines, journal: journal.name, batch: batch.number)
        journal.confirm(batch)
        var costs: [Int: Int64] = [:]
        for line in batch.lines { costs[line.group.key, default: 0] += line.sum.cost }
        for (key, cost) in costs { keys.key(key)?.confirm(cost: cost) }
        return true
    }

    private func finishLeftBehind() async throws {
        let left = UsageJournal.leftBehind(in: parent, prices: prices) { problem in
            log.error("a usage journal that was left behind cannot be read", metadata: ["reason": "\(problem)"])
        }
        for other in left {
            log.notice("a usage journal was left behind", metadata: ["journal": "\(other.name)"])
            while let batch = other.nextBatch() {
                try await ledger.addUsage(batch.lines, journal: other.name, batch: batch.number)
                other.confirm(batch)
            }
            other.remove()
        }
    }
}
