import Synchronization

/// A request's place in the journal: 64 bytes of a file that is mapped into memory.
///
/// What is stored here survives the process however it ends, without a system call: the kernel writes the page. Used by
/// one event loop while the request runs, by the flusher once it is finished.
struct UsageSlot: @unchecked Sendable {
    // Proof: the memory stays mapped as long as `segment`; all fields but `state` are written before `state` is stored
    // with release ordering, and read by another thread only after it was loaded with acquire ordering.

    /// Bytes of a slot.
    static let size = 64

    enum State: UInt32 {
        case empty = 0
        /// Its numbers so far are an estimate: of the prompt, and of what was answered.
        case begun = 1
        case finished = 2
    }

    private enum Place {
        static let state = 0
        static let status = 4
        static let isPartial = 6
        static let key = 8
        static let model = 16
        static let prompt = 24
        static let cached = 28
        static let completion = 32
        static let cost = 40
        static let batch = 48
        static let second = 56
    }

    /// Keeps the memory.
    private let segment: UsageSegment
    private let base: UnsafeMutableRawPointer

    init(_ segment: UsageSegment, index: Int) {
        self.segment = segment
        base = segment.base + (index + 1) * Self.size
    }

    // MARK: The request's side

    /// - Parameters:
    ///   - model: the number of the model version's name in the journal.
    ///   - second: seconds since 1970.
    func begin(key: Int, model: UInt32, prompt: Int, second: Int) {
        base.storeBytes(of: Int64(key), toByteOffset: Place.key, as: Int64.self)
        base.storeBytes(of: model, toByteOffset: Place.model, as: UInt32.self)
        base.storeBytes(of: Int64(second), toByteOffset: Place.second, as: Int64.self)
        base.storeBytes(of: UInt32(clamping: prompt), toByteOffset: Place.prompt, as: UInt32.self)
        base.storeBytes(of: 0, toByteOffset: Place.completion, as: UInt32.self)
        setState(.begun)
    }

    /// Tokens answered so far.
    func progress(completion: Int) {
        base.storeBytes(of: UInt32(clamping: completion), toByteOffset: Place.completion, as: UInt32.self)
    }

    func finish(status: Int, use: TokenUse, cost: Int64, isPartial: Bool) {
        base.storeBytes(of: UInt16(clamping: status), toByteOffset: Place.status, as: UInt16.self)
        base.storeBytes(of: isPartial ? 1 : 0, toByteOffset: Place.isPartial, as: UInt8.self)
        base.storeBytes(of: UInt32(clamping: use.prompt), toByteOffset: Place.prompt, as: UInt32.self)
        base.storeBytes(of: UInt32(clamping: use.cached), toByteOffset: Place.cached, as: UInt32.self)
        base.storeBytes(of: UInt32(clamping: use.completion), toByteOffset: Place.completion, as: UInt32.self)
        base.storeBytes(of: cost, toByteOffset: Place.cost, as: Int64.self)
        setState(.finished)
    }

    // MARK: The flusher's side

    var state: State {
        State(rawValue: stateWord.pointee.load(ordering: .acquiring)) ?? .empty
    }

    /// The batch that it belongs to; 0 for none yet.
    var batch: Int64 { base.load(fromByteOffset: Place.batch, as: Int64.self) }

    func setBatch(_ batch: Int64) {
        base.storeBytes(of: batch, toByteOffset: Place.batch, as: Int64.self)
    }

    var key: Int { Int(base.load(fromByteOffset: Place.key, as: Int64.self)) }
    var model: UInt32 { base.load(fromByteOffset: Place.model, as: UInt32.self) }
    var second: Int { Int(base.load(fromByteOffset: Place.second, as: Int64.self)) }
    var status: Int { Int(base.load(fromByteOffset: Place.status, as: UInt16.self)) }
    var isPartial: Bool { base.load(fromByteOffset: Place.isPartial, as: UInt8.self) != 0 }
    var cost: Int64 { base.load(fromByteOffset: Place.cost, as: Int64.self) }

    var use: TokenUse {
        TokenUse(
            prompt: Int(base.load(fromByteOffset: Place.prompt, as: UInt32.self)),
            completion: Int(base.load(fromByteOffset: Place.completion, as: UInt32.self)),
            cached: Int(base.load(fromByteOffset: Place.cached, as: UInt32.self)))
    }

    private func setState(_ state: State) {
        stateWord.pointee.store(state.rawValue, ordering: .releasing)
    }

    /// `Atomic` has the layout of what it holds.
    private var stateWord: UnsafeMutablePointer<Atomic<UInt32>> {
        (base + Place.state).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
}
