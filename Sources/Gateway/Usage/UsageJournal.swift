import Foundation
import Glibc
import Pipeline
import Synchronization

/// What requests took, from their beginning until the ledger has it: survives the end of this process, and any time
/// without the ledger.
///
/// A folder with files of slots (`UsageSlot`), a file of names that the slots refer to by number, and one with what is
/// confirmed. Finished slots are summed into batches that count up; a batch is sent until the ledger has it and only then
/// comes the next, so that the ledger knows by the number alone whether it has one.
final class UsageJournal: Sendable {
    /// Sums for the ledger.
    struct Batch: Sendable {
        let number: Int64
        let lines: [UsageLine]
    }

    private struct State {
        var segments: [UsageSegment] = []
        /// Of the last segment.
        var used = 0
        var nextFile = 1
        var names: [String: UInt32] = [:]
        var spelled: [(model: String, version: String)] = []
        /// The name that was asked for last: mostly it is the next one too.
        var last: (model: String, version: String, number: UInt32)?
        var pending: Batch?
        /// Requests that found no room on the disk.
        var lost = 0
    }

    /// Requests that one file has room for: 1 MiB.
    private static let slots = 16_383
    private static let lockName = "lock"

    let folder: String
    /// The folder of all journals.
    var parent: String { FilePath.parent(folder) }
    /// Unlike any other journal's.
    var name: String { FilePath.last(folder) }
    private let prices: PriceTable
    private let control: UsageSegment
    private let namesFile: Int32
    private let lock: Int32
    private let state: Mutex<State>

    // MARK: Folders

    /// Makes a journal of its own for this process.
    /// - Parameter parent: the folder of journals; made if it is not there.
    static func make(in parent: String, prices: PriceTable) throws -> UsageJournal {
        try FileManager.default.createDirectory(
            atPath: parent, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let name = UUID().uuidString.lowercased()
        // Locked before it has its name: nobody takes it for one that was left behind.
        let draft = "\(parent)/.\(name)"
        try FileManager.default.createDirectory(
            atPath: draft, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        let lock = open("\(draft)/\(lockName)", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0, rename(draft, "\(parent)/\(name)") == 0 else {
            throw UsageJournalError("make", draft)
        }
        return try UsageJournal(folder: "\(parent)/\(name)", lock: lock, prices: prices)
    }

    /// Opens the journals that processes left behind which are gone.
    /// - Parameter report: told of a folder that cannot be opened; the others are.
    static func leftBehind(
        in parent: String, prices: PriceTable, report: (String) -> Void = { _ in }
    ) -> [UsageJournal] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        return names.filter { !$0.hasPrefix(".") }.sorted().compactMap { name in
            let lock = open("\(parent)/\(name)/\(lockName)", O_RDWR | O_CLOEXEC)
            guard lock >= 0 else { return nil }
            guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
                close(lock)
                return nil
            }
            do {
                return try UsageJournal(folder: "\(parent)/\(name)", lock: lock, prices: prices)
            } catch {
                report("\(parent)/\(name): \(error)")
                return nil
            }
        }
    }

    private init(folder: String, lock: Int32, prices: PriceTable) throws {
        self.folder = folder
        self.lock = lock
        self.prices = prices
        var state = State()
        var names: Int32 = -1
        do {
            control = try UsageSegment(path: "\(folder)/confirmed", slots: 0)
            names = open("\(folder)/names", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
            guard names >= 0 else { throw UsageJournalError("open", "\(folder)/names") }
            state.spelled = try Self.readNames("\(folder)/names")
            let files = try FileManager.default.contentsOfDirectory(atPath: folder)
            for number in files.compactMap({ $0.hasSuffix(".slots") ? Int($0.dropLast(6)) : nil }).sorted() {
                state.segments.append(try UsageSegment(path: "\(folder)/\(number).slots", slots: Self.slots))
                state.nextFile = number + 1
            }
        } catch {
            if names >= 0 { close(names) }
            flock(lock, LOCK_UN)
            close(lock)
            throw error
        }
        namesFile = names
        for (index, name) in state.spelled.enumerated() {
            state.names["\(name.model)\t\(name.version)"] = UInt32(index)
        }
        state.used = Self.slots
        self.state = Mutex(state)
        recover()
    }

    deinit {
        close(namesFile)
        // A child that is just being started has it open too until it is replaced by its program.
        flock(lock, LOCK_UN)
        close(lock)
    }

    /// Removes the folder, once everything is confirmed.
    func remove() {
        try? FileManager.default.removeItem(atPath: folder)
    }

    // MARK: Requests

    /// Writes down that a request begins.
    /// - Parameters:
    ///   - second: seconds since 1970.
    /// - Returns: nil when the disk has no room; then this request is only counted as lost.
    func begin(key: Int, model: String, version: String, prompt: Int, second: Int) -> UsageSlot? {
        state.withLock { state in
            do {
                let name = try nameNumber(model, version, &state)
                if state.used == Self.slots || state.segments.isEmpty {
                    state.segments.append(
                        try UsageSegment(path: "\(folder)/\(state.nextFile).slots", slots: Self.slots))
                    state.nextFile += 1
                    state.used = 0
                }
                guard let segment = state.segments.last else { return nil }
                let slot = segment[state.used]
                state.used += 1
                slot.begin(key: key, model: name, prompt: prompt, second: second)
                return slot
            } catch {
                state.lost += 1
                return nil
            }
        }
    }

    /// Requests that could not be written down since it was asked last.
    func takeLost() -> Int {
        state.withLock { state in
            defer { state.lost = 0 }
            return state.lost
        }
    }

    // MARK: Batches

    /// The batch that the ledger has to get next: the same one until it is confirmed. Nil when nothing is finished.
    func nextBatch() -> Batch? {
        state.withLock { state in
            if let pending = state.pending { return pending }
            let number = control.word(0) + 1
            var sums: [UsageLine.Group: UsageLine.Sum] = [:]
            for slot in Self.finished(state) where slot.batch == 0 {
                slot.setBatch(number)
                add(slot, to: &sums, state)
            }
            guard !sums.isEmpty else { return nil }
            let batch = Batch(number: number, lines: sums.map { UsageLine(group: $0.key, sum: $0.value) })
            state.pending = batch
            return batch
        }
    }

    /// The ledger has the batch: its slots are needed no more.
    func confirm(_ batch: Batch) {
        state.withLock { state in
            guard state.pending?.number == batch.number else { return }
            control.setWord(0, batch.number)
            state.pending = nil
            let current = state.used < Self.slots ? state.segments.last : nil
            state.segments.removeAll { segment in
                guard segment !== current else { return false }
                let isNeeded = (0..<segment.slots).contains { index in
                    let slot = segment[index]
                    return slot.state != .empty && (slot.state == .begun || slot.batch == 0)
                }
                if !isNeeded { unlink(segment.path) }
                return !isNeeded
            }
        }
    }

    private func add(_ slot: UsageSlot, to sums: inout [UsageLine.Group: UsageLine.Sum], _ state: borrowing State) {
        let name = state.spelled.indices.contains(Int(slot.model)) ? state.spelled[Int(slot.model)] : ("", "")
        let group = UsageLine.Group(hour: slot.second / 3_600, key: slot.key, model: name.0, version: name.1)
        var sum = UsageLine.Sum()
        sum.requests = 1
        sum.failed = slot.status >= 500 ? 1 : 0
        sum.partial = slot.isPartial ? 1 : 0
        let use = slot.use
        sum.promptTokens = use.prompt
        sum.cachedTokens = use.cached
        sum.completionTokens = use.completion
        sum.cost = slot.cost
        sums[group, default: UsageLine.Sum()] += sum
    }

    private static func finished(_ state: borrowing State) -> [UsageSlot] {
        state.segments.flatMap { segment in
            (0..<segment.slots).lazy.map { segment[$0] }
                // Slots are taken one after another; a process may have ended between taking one and using it.
                .filter { $0.state == .finished }
        }
    }

    /// What ran when the process ended is partial; what was in a batch that is not confirmed is that batch again.
    private func recover() {
        state.withLock { state in
            for segment in state.segments {
                for index in 0..<segment.slots where segment[index].state == .begun {
                    let slot = segment[index]
                    let model =
                        state.spelled.indices.contains(Int(slot.model)) ? state.spelled[Int(slot.model)].model : ""
                    let use = slot.use
                    slot.finish(status: 0, use: use, cost: prices.price(of: model).cost(use), isPartial: true)
                }
            }
            let number = control.word(0) + 1
            var sums: [UsageLine.Group: UsageLine.Sum] = [:]
            for slot in Self.finished(state) where slot.batch == number { add(slot, to: &sums, state) }
            guard !sums.isEmpty else { return }
            state.pending = Batch(number: number, lines: sums.map { UsageLine(group: $0.key, sum: $0.value) })
        }
    }

    // MARK: Names

    /// Names are a line each, in the order of their numbers; written before a slot refers to one.
    private func nameNumber(_ model: String, _ version: String, _ state: inout State) throws -> UInt32 {
        if let last = state.last, last.model == model, last.version == version { return last.number }
        let name = "\(model)\t\(version)"
        if let number = state.names[name] {
            state.last = (model, version, number)
            return number
        }
        let line = Array((name + "\n").utf8)
        guard write(namesFile, line, line.count) == line.count else {
            throw UsageJournalError("write", "\(folder)/names")
        }
        let number = UInt32(state.spelled.count)
        state.spelled.append((model, version))
        state.names[name] = number
        return number
    }

    private static func readNames(_ path: String) throws -> [(model: String, version: String)] {
        let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map { line in
            let parts = line.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        }
    }
}

private enum FilePath {
    static func parent(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }

    static func last(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}
