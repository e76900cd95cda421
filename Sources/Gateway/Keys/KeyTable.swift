import Crypto
import Pipeline
import Synchronization

/// The keys that are known, found by their digests.
final class KeyTable: Sendable {
    private struct State {
        var byDigest: [[UInt8]: KeyState] = [:]
        var byID: [Int: KeyState] = [:]
        var isLoaded = false
    }

    private let state = Mutex(State())
    /// Changes with every update: who keeps a key that was found must ask again.
    private let updates = Atomic(0)
    private let sharing = Atomic(false)

    var generation: Int { updates.load(ordering: .acquiring) }

    /// Whether keys were ever known; before, nobody can be told that theirs is not.
    var isLoaded: Bool { state.withLock { $0.isLoaded } }

    /// Whether the other gateways' share of the limits is known.
    var isShared: Bool {
        get { sharing.load(ordering: .relaxed) }
        set { sharing.store(newValue, ordering: .relaxed) }
    }

    var all: [KeyState] { state.withLock { Array($0.byID.values) } }

    func key(_ id: Int) -> KeyState? { state.withLock { $0.byID[id] } }

    /// Replaces all keys; those that are still there keep what was counted.
    func update(_ keys: [APIKey]) {
        state.withLock { state in
            var byDigest: [[UInt8]: KeyState] = [:]
            var byID: [Int: KeyState] = [:]
            for key in keys {
                let known = state.byID[key.id] ?? KeyState(key)
                known.update(key)
                byDigest[key.digest] = known
                byID[key.id] = known
            }
            state.byDigest = byDigest
            state.byID = byID
            state.isLoaded = true
        }
        updates.add(1, ordering: .releasing)
    }

    /// The key that a client sent.
    func find(_ secret: UnsafeRawBufferPointer) -> KeyState? {
        var hash = SHA256()
        hash.update(bufferPointer: secret)
        let digest = Array(hash.finalize())
        return state.withLock { $0.byDigest[digest] }
    }
}
