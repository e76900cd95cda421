import Crypto
import Synchronization

/// The keys that are known, found by their digests.
final class KeyTable: Sendable {
    private struct State {
        var byDigest: [[UInt8]: KeyState] = [:]
        var byID: [Int: KeyState] = [:]
        var generation = 0
    }

    private let state = Mutex(State())

    /// Changes with every update: who keeps a key that was found must ask again.
    var generation: Int { state.withLock { $0.generation } }

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
            state.generation += 1
        }
    }

    /// The key that a client sent.
    func find(_ secret: UnsafeRawBufferPointer) -> KeyState? {
        var hash = SHA256()
        hash.update(bufferPointer: secret)
        let digest = Array(hash.finalize())
        return state.withLock { $0.byDigest[digest] }
    }
}
